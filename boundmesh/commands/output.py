"""Opens what a command writes to: standard error and a log for progress, files for results."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

import typer

from boundmesh.commands.defaults import described
from boundmesh.errors import BoundmeshError
from boundmesh.report.console import ConsoleProgress
from boundmesh.report.log import Log, open_log
from boundmesh.runtime.rank import is_first


def progress_of(
    context: typer.Context, quiet: bool, verbose: bool, log: Path | None
) -> ConsoleProgress:
    """Return the progress of a command; only the first rank shows it.

    With `verbose`, and in the log, it begins with the defaults that the command has got. Raises
    BoundmeshError where `quiet` and `verbose` are both true, or the log cannot be written.
    """
    progress = ConsoleProgress(
        quiet=quiet or not is_first(), verbose=verbose, log=log_of(quiet, verbose, log)
    )
    if defaults := described(context):
        progress.detail("defaults", defaults)
    return progress


def log_of(quiet: bool, verbose: bool, log: Path | None) -> Log | None:
    """Return the log of a command, which only the first rank writes; raises as `progress_of`."""
    if quiet and verbose:
        raise BoundmeshError("--quiet and --verbose contradict each other; give one of them")
    return open_log(log) if log is not None and is_first() else None


def print_result(text: str) -> None:
    """Write a result to standard output.

    A reader that has gone, such as `head`, changes no exit code: the rest is dropped. Raises
    BoundmeshError where standard output is closed, or a disk is full.
    """
    # Python has no standard output where the shell closed it with `>&-`.
    output: TextIO | None = sys.stdout
    if output is None:
        raise BoundmeshError("cannot write to standard output: it is closed")
    try:
        output.write(text)
        output.flush()
    except OSError as error:
        # Python flushes standard output once more when it ends, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
        if not isinstance(error, BrokenPipeError):
            reason = error.strerror or error
            raise BoundmeshError(f"cannot write to standard output: {reason}") from None
