"""Ranks of this host: one speaks, and when one fails all end at once with its own message."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
import torch
import torch.distributed as dist

from boundmesh.errors import BoundmeshError, DeviceError
from boundmesh.mesh.runtime import launch
from boundmesh.mesh.runtime.join import joined
from boundmesh.mesh_shape import MeshShape, parse_mesh
from tests import networks
from tests.mesh import cases
from tests.mesh.cases import Case


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("shards=2", MeshShape(2, 1)),
        ("domains=3", MeshShape(1, 3)),
        ("domains=4, shards=2", MeshShape(2, 4)),
        ("", MeshShape(1, 1)),
    ],
)
def test_a_mesh_is_named_by_its_axes(text: str, shape: MeshShape) -> None:
    assert parse_mesh(text) == shape
    assert parse_mesh(str(shape)) == shape


@pytest.mark.parametrize("text", ["2", "shards=0", "shards=-1", "ranks=2", "shards=2,shards=2"])
def test_other_words_for_a_mesh_are_refused(text: str) -> None:
    with pytest.raises(BoundmeshError, match="expected shards=N"):
        parse_mesh(text)


def test_the_first_rank_speaks_and_gives_the_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    assert launch.run(2, speak_and_agree) == 3
    assert capfd.readouterr().out == "rank 0 of 2 has summed 3\n"


def speak_and_agree() -> None:
    with joined(MeshShape(2), "cpu") as mesh:
        total = torch.tensor(float(mesh.shards.rank + 1))
        mesh.shards.all_reduce(total)
    print(f"rank {mesh.shards.rank} of {mesh.shards.size} has summed {int(total)}")
    sys.exit(3)


def test_a_killed_rank_ends_all(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DeviceError, match="rank 1 was killed by SIGKILL"):
        launch.run(2, sweep_forever, "killed")
    assert ends_within_seconds(capfd.readouterr().err)


def test_a_failing_rank_ends_all_with_its_own_message(capfd: pytest.CaptureFixture[str]) -> None:
    assert launch.run(2, sweep_forever, "failing") == 2
    said = capfd.readouterr().err
    assert "boundmesh: rank 1 has had enough" in said
    assert ends_within_seconds(said)


def sweep_forever(how: str) -> None:
    torch.set_num_threads(1)
    case = Case(sizes=(4, 20, 20, 3))
    with joined(MeshShape(2), "cpu") as mesh:
        problem = case.problem(case.gather(mesh.shards))
        for turn in range(10**9):
            cases.bound(problem, "crown")
            if turn == 2 and mesh.first:
                print(f"began {time.time()}", file=sys.stderr, flush=True)
            if turn == 3 and not mesh.first:
                if how == "failing":
                    print("boundmesh: rank 1 has had enough", file=sys.stderr)
                    sys.exit(2)
                os.kill(os.getpid(), signal.SIGKILL)


def ends_within_seconds(said: str) -> bool:
    (began,) = (line.split()[1] for line in said.splitlines() if line.startswith("began"))
    return time.time() - float(began) < 20


def test_a_mesh_of_another_size_than_was_started_is_refused() -> None:
    with (
        pytest.raises(BoundmeshError, match="has 2 ranks, and 1 were started"),
        joined(MeshShape(2), "cpu"),
    ):
        pass


def test_groups_of_domains_work_on_their_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert launch.run(4, bound_in_two_groups) == 0
    assert capfd.readouterr().out == "equal\n"


def bound_in_two_groups() -> None:
    torch.set_num_threads(1)
    with joined(MeshShape(shards=2, domains=2), "cpu") as mesh:
        assert dist.get_rank() == mesh.domains.rank * 2 + mesh.shards.rank
        case = Case(sizes=(4, 12, 3), seed=mesh.domains.rank)
        expected = cases.bound(case.problem(case.one_device()), "crown")
        # The groups run different numbers of collectives.
        for _ in range(1 + mesh.domains.rank):
            found = cases.bound(case.problem(case.gather(mesh.shards)), "crown")
        wrong = torch.tensor(float(not cases.equal(found, expected)), dtype=networks.DTYPE)
        mesh.domains.all_reduce(wrong)
        mesh.shards.all_reduce(wrong)
    print("equal" if not wrong else "not equal")
