"""A certification that is told to end gives what it has, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"


def long_run(folder: Path, *options: str) -> subprocess.Popen[str]:
    """A certification of six inputs that takes minutes."""
    noise = np.random.default_rng(0).normal(scale=0.05, size=(6, 1, 8, 8))
    np.save(folder / "x.npy", np.load(DIGITS / "image.npy").reshape(1, 1, 8, 8) + noise)
    words = "certify", DIGITS / "conv.onnx", folder / "x.npy", "--eps", "0.12"
    limit = "--timeout-per-input", "60"
    command = [sys.executable, "-m", "boundmesh", *map(str, words), *limit, *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=environment)  # fmt: skip


def test_a_certification_that_is_told_to_end_gives_what_it_has(tmp_path: Path) -> None:
    run = long_run(tmp_path, "--csv", str(tmp_path / "out.csv"))
    assert run.stderr is not None
    told = iter(run.stderr)
    assert any(line.startswith("crown-ibp") for line in told)
    run.send_signal(signal.SIGTERM)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, "Traceback" in err) == (130, False)
    assert out.startswith("inputs              6\n")
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 7


@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
def test_processes_that_search_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    run = long_run(tmp_path, "--jobs", "2")
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    started: list[str] = []
    # Python's own process that counts resources is the third.
    while len(started) < 3 and run.poll() is None:
        time.sleep(0.1)
        started = children.read_text().split()
    run.kill()
    # The pipes close when the last process that holds them ends, and it may take a moment to.
    run.communicate(timeout=60)
    until = time.monotonic() + 20
    while any(map(alive, started)) and time.monotonic() < until:
        time.sleep(0.1)
    assert len(started) == 3
    assert not any(map(alive, started))


def alive(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
