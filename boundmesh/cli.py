"""The command line: it registers the commands, and turns errors into messages and exit codes.

Standard output carries results alone, in the form that the VNN-LIB standard defines. Everything
for people goes to standard error. Importing this module must stay cheap, so the commands import
torch only when they need it.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import signal
import sys
import traceback
from io import StringIO
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.core import TyperGroup

from boundmesh import __version__
from boundmesh.bench.ending import Ending
from boundmesh.commands.bench import bench
from boundmesh.commands.bounds import bounds
from boundmesh.commands.certify import certify
from boundmesh.commands.defaults import use_defaults
from boundmesh.commands.help_page import show_help
from boundmesh.commands.plan import plan
from boundmesh.commands.supports import supports
from boundmesh.commands.verify import verify
from boundmesh.errors import BoundmeshError
from boundmesh.runtime.interruption import INTERRUPTION
from boundmesh.runtime.memory import keep_freed_memory
from boundmesh.runtime.rank import check_rank, inside, is_first, under_torchrun

FAILED = 2
INTERRUPTED = 130
SHARED = ("config", "help")
EPILOG = (
    "Each option also has a variable, such as BOUNDMESH_TIMEOUT for --timeout, and a key in "
    "boundmesh.toml, such as timeout = 60. The command line comes first, then the variable, then "
    "the file. Exit codes: 0 done, 1 refuted (with --exit-code), all failed (bench) or not "
    "supported (supports), 2 error, 3 not decided (with --exit-code, supports), 130 interrupted."
)

app = typer.Typer(
    name="boundmesh",
    help="Proves properties of neural networks, or finds a counterexample.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
# Extra arguments may be a network in the property's place: the commands check this themselves, as
# their error message is more helpful than typer's.
app.command(context_settings={"allow_extra_args": True})(verify)
app.command(context_settings={"allow_extra_args": True})(bounds)
app.command()(certify)
app.command()(plan)
app.command()(bench)
app.command(context_settings={"ignore_unknown_options": True})(supports)


def _say(asked: bool, text: str) -> None:
    if asked:
        typer.echo(text)
        raise typer.Exit()


def _name(asked: bool) -> None:
    _say(asked, "boundmesh")


def _version(asked: bool) -> None:
    _say(asked, __version__)


@app.callback()
def options(
    name: Annotated[
        bool, typer.Option("--name", callback=_name, is_eager=True, help="Print the name.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="BOUNDMESH_CONFIG",
            show_envvar=False,
            help="Take defaults of options from this file instead of boundmesh.toml.",
            is_eager=True,
            expose_value=False,
            callback=use_defaults,
        ),
    ] = None,
    help: Annotated[
        bool,
        typer.Option(
            "--help",
            "-h",
            is_eager=True,
            expose_value=False,
            callback=show_help,
            help="Show this message and exit.",
        ),
    ] = False,
) -> None:
    """Proves properties of neural networks, or finds a counterexample."""


def command_line() -> TyperGroup:
    """Return the command `boundmesh`; all of its commands have its options in SHARED as well."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    shared = [option for option in group.params if option.name in SHARED]
    for command in group.commands.values():
        # What follows `supports` is a capability, even where it begins with two dashes.
        command.params += [
            option for option in shared if option.name == "help" or command.name != "supports"
        ]
        command.epilog = EPILOG
    group.epilog = EPILOG
    return group


def main() -> None:
    """Run the command line; every error ends with exit code 2 and without a verdict.

    On a mesh only the first rank writes results.
    """
    keep_freed_memory()
    INTERRUPTION.raised = False
    if not is_first():
        sys.stdout = StringIO()
    if inside():
        INTERRUPTION.defer()
        _run()
    else:
        try:
            with Ending():
                _run()
        finally:
            # A second Ctrl-C, while Python ends, shall end it at once.
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)


def _run() -> None:
    try:
        check_rank()
        command_line()(prog_name="boundmesh")
    except BoundmeshError as error:
        _fail("\n".join(filter(None, (str(error), error.excerpt))))
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
    except Exception as error:
        if INTERRUPTION.raised:
            _fail("interrupted", INTERRUPTED)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _fail(f"cannot write: {error.strerror}")
        _defect(error)


def _defect(error: Exception) -> NoReturn:
    traceback.print_exc()
    _fail(f"this is a defect of boundmesh, please report it with the lines above: {error}")


def _fail(message: str, code: int = FAILED) -> NoReturn:
    # Where standard error cannot be written either, the exit code alone tells of the failure.
    with contextlib.suppress(OSError):
        print(f"boundmesh: {message}", file=sys.stderr, flush=True)
    if under_torchrun():
        # Exit at once: other ranks may be waiting for this one, and it must not wait for them.
        os._exit(code)
    sys.exit(code)
