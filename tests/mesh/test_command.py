"""The commands on a mesh: what one device says, said once."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from boundmesh.mesh_shape import parse_mesh
from tests.conftest import Command, Outcome
from tests.mesh.command_ranks import CommandRanks

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
ON = "--network", DIGITS / "mlp.onnx", "--device", "cpu"
SHAPES = ("shards=2", "domains=2", "domains=2,shards=2")


Start = Callable[[int], CommandRanks]


def boundmesh(*words: object) -> subprocess.CompletedProcess[str]:
    """Run a command that starts its ranks itself."""
    return subprocess.run(
        [sys.executable, "-m", "boundmesh", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def on_mesh(start: Start, shape: str, *words: object) -> Outcome:
    """Return how a command ended on the first rank of a mesh, which speaks for all."""
    return start(parse_mesh(shape).size).run(*words, "--device", "cpu", "--mesh", shape)


@pytest.mark.parametrize("spec", sorted(DIGITS.glob("*.vnnlib")), ids=lambda spec: spec.stem)
def test_a_mesh_gives_the_answer_of_one_device(
    spec: Path, command: Command, command_ranks: Start
) -> None:
    words = "verify", spec, "--network", DIGITS / "mlp.onnx", "--exit-code", "--quiet"
    alone = command(*words, "--device", "cpu")
    assert alone.out.split()[0] in ("sat", "unsat")
    for shape in SHAPES:
        found = on_mesh(command_ranks, shape, *words)
        assert found.code == alone.code
        # Which part of the attack finds a point first depends on the time that each part takes.
        first, points = found.out.splitlines()[0], len(found.out.splitlines())
        assert (first, points) == (alone.out.splitlines()[0], len(alone.out.splitlines()))


def test_a_command_that_starts_its_ranks_writes_the_bounds_of_one_device(
    tmp_path: Path, command: Command
) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    words = "bounds", min(DIGITS.glob("*.vnnlib")), *ON, "--json"
    assert command(*words, one).code == 0
    done = boundmesh(*words, two, "--mesh", "shards=2", "--schedule", "gather")
    assert done.returncode == 0, done.stderr
    alone, found = json.loads(one.read_text()), json.loads(two.read_text())
    assert found["lower"] == alone["lower"]
    assert found["upper"] == alone["upper"]


def test_an_error_that_all_ranks_meet_is_said_once() -> None:
    spec = min(DIGITS.glob("*.vnnlib"))
    done = boundmesh("verify", spec, *ON, "--mesh", "shards=2", "--offload", "weights",
                     "--schedule", "exchange", "--quiet")  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("boundmesh: ") == 1
    assert "use one of the two" in done.stderr


def test_bounds_alone_have_no_use_for_groups_of_domains(command_ranks: Start) -> None:
    words = "bounds", min(DIGITS.glob("*.vnnlib")), "--network", DIGITS / "mlp.onnx", "--quiet"
    done = on_mesh(command_ranks, "domains=2", *words)
    assert done.code == 2
    assert "bounds alone have none to divide; use shards" in done.err


@pytest.mark.parametrize("shape", SHAPES)
def test_a_mesh_decides_a_list_and_goes_on_after_an_error(
    tmp_path: Path, shape: str, command_ranks: Start
) -> None:
    lines = ["mlp.onnx,near.vnnlib,60", "absent.onnx,near.vnnlib,60", "mlp.onnx,far.vnnlib,60"]
    for file in ("mlp.onnx", "near.vnnlib", "far.vnnlib"):
        shutil.copy(DIGITS / file, tmp_path)
    (tmp_path / "instances.csv").write_text("\n".join(lines[:2]))
    out = tmp_path / "results.csv"
    words = "bench", tmp_path / "instances.csv", "--out", out
    first = on_mesh(command_ranks, shape, *words)
    assert (first.code, first.out) == (0, ""), first.err
    (tmp_path / "instances.csv").write_text("\n".join(lines))
    second = on_mesh(command_ranks, shape, *words)
    assert (second.code, second.out) == (0, ""), second.err
    with out.open(newline="") as table:
        found = list(csv.DictReader(table))
    assert [row["verdict"] for row in found] == ["unsat", "error", "sat"]
    assert {row["device"] for row in found} == {f"cpu × {parse_mesh(shape).size}"}


def test_a_wrong_verdict_of_a_mesh_is_shown_and_ends_with_2(
    tmp_path: Path, command_ranks: Start
) -> None:
    for file in ("mlp.onnx", "far.vnnlib"):
        shutil.copy(DIGITS / file, tmp_path)
    (tmp_path / "instances.csv").write_text("mlp.onnx,far.vnnlib,60,unsat")
    words = "bench", tmp_path / "instances.csv", "--json", tmp_path / "summary.json"
    done = on_mesh(command_ranks, "domains=2", *words)
    assert done.code == 2
    assert "WRONG: expected unsat" in done.err
    assert len(json.loads((tmp_path / "summary.json").read_text())["wrong"]) == 1
