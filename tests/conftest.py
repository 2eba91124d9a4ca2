"""What every test shares: one thread per worker, hypothesis without a clock, the command line."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "boundmesh", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("boundmesh")

# A script's background job ignores Ctrl-C, as would then all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Outcome:
    """How a command ended; `words` is its standard error without line breaks."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        return " ".join(self.err.replace("│", " ").split())


Command = Callable[..., Outcome]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `boundmesh WORDS…` in this process."""
    from boundmesh.cli import main

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["boundmesh", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ending:
            main()
        captured = capsys.readouterr()
        return Outcome(int(ending.value.code or 0), captured.out, captured.err)

    return run
