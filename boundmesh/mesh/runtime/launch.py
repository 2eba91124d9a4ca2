"""Starts the ranks of this host, and ends all of them when one fails."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessExitedException, SpawnContext, start_processes

from boundmesh.errors import DeviceError
from boundmesh.runtime.memory import keep_freed_memory
from boundmesh.runtime.rank import RENDEZVOUS

# The exit codes of a rank that has done its work, and the exit code of an uncaught error.
VERDICTS = (0, 1, 3)
FAILED = 2
# After an interruption, ranks get so many seconds to end by themselves, with a partial result.
PATIENCE = 20.0
# After a rank has failed, the others get so many seconds to end by themselves.
GRACE = 0.5


def run(ranks: int, main: Callable[..., None], *arguments: object) -> int:
    """Run `main(*arguments)` in `ranks` processes of this host; return the first one's exit code.

    `main` is picklable and may raise SystemExit. The first rank has the standard streams. An exit
    code outside of VERDICTS means that a rank failed: all others are ended, and its standard error
    is printed. Raises DeviceError if a rank was killed.
    """
    with tempfile.TemporaryDirectory(prefix="boundmesh-") as folder:
        logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
        context = start_processes(
            _enter, (ranks, folder, main, arguments), nprocs=ranks, join=False, start_method="spawn"
        )
        assert context is not None
        try:
            _wait(context)
        except ProcessExitedException as ended:
            if ended.exit_code < 0:
                raise DeviceError(
                    f"rank {ended.error_index} was killed by {ended.signal_name}; all ranks were "
                    "ended. Out of host memory is the usual cause"
                ) from None
            if not _has_failed(folder, 0):
                print(_said(folder, ended.error_index).read_text(), end="", file=sys.stderr)
            return ended.exit_code
        return int(_code(folder, 0).read_text())


def _wait(context: SpawnContext) -> None:
    """Wait for all ranks to end.

    After Ctrl-C they get PATIENCE seconds to end by themselves; a second Ctrl-C ends them at once.
    """
    until = float("inf")
    try:
        while time.monotonic() < until:
            try:
                if context.join(min(until - time.monotonic(), PATIENCE), GRACE):
                    return
            except KeyboardInterrupt:
                if until < float("inf"):
                    raise
                until = time.monotonic() + PATIENCE
                for process in filter(BaseProcess.is_alive, context.processes):
                    os.kill(process.pid, signal.SIGINT)
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        for process in context.processes:
            process.kill()
        raise


def _enter(
    rank: int, ranks: int, folder: str, main: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ[RENDEZVOUS] = f"file://{folder}/rendezvous"
    # All ranks are on this host, so a host name without an address must not cause a failure.
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if rank:
        _speak_to(_said(folder, rank))
    _keep_to_own_cores(rank, ranks)
    keep_freed_memory()
    code = 0
    try:
        main(*arguments)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = FAILED
    sys.stdout.flush()
    sys.stderr.flush()
    _code(folder, rank).write_text(str(code))
    if code not in VERDICTS:
        # This ends the process at once, without waiting for collectives with other ranks.
        os._exit(code)
    if dist.is_initialized():
        dist.destroy_process_group()


def _keep_to_own_cores(rank: int, ranks: int) -> None:
    """Bind this rank to its own run of the host's cores, if there is a core for each rank.

    Two ranks that share a core, or the two threads of one, take twice as long to start kernels.
    """
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0), key=_halves_together)
        share = len(cores) // ranks
        if share:
            os.sched_setaffinity(0, cores[rank * share : (rank + 1) * share])


def _halves_together(cpu: int) -> tuple[int, int]:
    """Return a sort key that makes the two threads of one core neighbours."""
    siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    first = re.match(r"\d+", siblings.read_text()) if siblings.exists() else None
    return int(first[0]) if first else cpu, cpu


def _speak_to(file: Path) -> None:
    """Discard the standard output of this process, and write its standard error to a file."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), sys.stderr.fileno())


def _has_failed(folder: str, rank: int) -> bool:
    """Return True if a rank has ended by itself with an exit code outside of VERDICTS."""
    file = _code(folder, rank)
    return file.exists() and int(file.read_text()) not in VERDICTS


def _said(folder: str, rank: int) -> Path:
    return Path(folder) / f"said-{rank}"


def _code(folder: str, rank: int) -> Path:
    return Path(folder) / f"code-{rank}"
