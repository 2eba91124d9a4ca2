"""However a run of several groups is ended, all ranks end with it, within seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from boundmesh.errors import DeviceError
from boundmesh.mesh.runtime import launch
from boundmesh.mesh.runtime.join import join
from boundmesh.mesh_shape import MeshShape
from boundmesh.runtime.clock import Clock
from boundmesh.runtime.interruption import INTERRUPTION
from tests.mesh.searches import Asked
from tests.mesh.test_launch import ends_within_seconds

ENDLESS = Asked("neurons", (4, 30, 30, 2), 0, 3.0, 1e6, batch=8)


@pytest.mark.parametrize("shape", [MeshShape(1, 2), MeshShape(2, 2)], ids=str)
def test_a_rank_killed_in_a_search_ends_all(
    shape: MeshShape, capfd: pytest.CaptureFixture[str]
) -> None:
    last = shape.size - 1
    with pytest.raises(DeviceError, match=f"rank {last} was killed by SIGKILL"):
        launch.run(shape.size, search_endlessly, shape, "killed")
    assert ends_within_seconds(capfd.readouterr().err)


def test_a_rank_that_fails_in_a_search_ends_all_with_its_message(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert launch.run(2, search_endlessly, MeshShape(1, 2), "failing") == 2
    said = capfd.readouterr().err
    assert "the last rank has had enough" in said
    assert ends_within_seconds(said)


@pytest.mark.parametrize("domains", [2, 4])
def test_an_interrupted_search_ends_in_order_on_all_ranks(domains: int) -> None:
    code = (
        "from boundmesh.mesh.runtime import launch; from boundmesh.mesh_shape import MeshShape\n"
        "from tests.mesh.test_endings import search_endlessly\n"
        "if __name__ == '__main__':\n"
        f"    raise SystemExit(launch.run({domains}, search_endlessly,"
        f" MeshShape({domains // 2}, 2), ''))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    began = next(line for line in process.stderr if line.startswith("began"))
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("interrupted in order\n", 3), err
    assert ends_within_seconds(began)


def search_endlessly(shape: MeshShape, how: str) -> None:
    """Search until somebody ends it; the last rank may end itself."""
    torch.set_num_threads(1)
    INTERRUPTION.defer()
    mesh = join(shape, "cpu")
    last = mesh.shards.rank == shape.shards - 1 and mesh.domains.rank == shape.domains - 1

    def look(points: torch.Tensor) -> object:
        if mesh.first and splitting.search.visited == 1:
            print(f"began {time.time()}", file=sys.stderr, flush=True)
        if last and splitting.search.visited > 100:
            if how == "failing":
                raise RuntimeError("the last rank has had enough")
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
        return None

    splitting = ENDLESS.splitting(mesh, look, Clock())
    try:
        with splitting.shared.meetings.ending_all():
            ENDLESS.run(splitting)
    except KeyboardInterrupt:
        print("interrupted in order")
        sys.exit(3)
