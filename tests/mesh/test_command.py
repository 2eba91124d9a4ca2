"""The commands on a mesh: what one device says, said once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
NETWORK = DIGITS / "mlp.onnx"


def boundmesh(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "boundmesh", *map(str, words), "--network", str(NETWORK)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("spec", sorted(DIGITS.glob("*.vnnlib")), ids=lambda spec: spec.stem)
def test_a_mesh_gives_the_answer_of_one_device(spec: Path) -> None:
    alone = boundmesh("verify", spec, "--device", "cpu", "--exit-code", "--quiet")
    mesh = boundmesh(
        "verify", spec, "--device", "cpu", "--exit-code", "--quiet", "--mesh", "shards=2"
    )
    assert (mesh.stdout, mesh.returncode) == (alone.stdout, alone.returncode)
    assert alone.stdout.split()[0] in ("sat", "unsat")


def test_a_mesh_writes_the_bounds_of_one_device(tmp_path: Path) -> None:
    spec = min(DIGITS.glob("*.vnnlib"))
    found = []
    for mesh in ("", "shards=2"):
        file = tmp_path / f"bounds{len(found)}.json"
        schedule = ("--mesh", mesh, "--schedule", "gather") if mesh else ()
        done = boundmesh("bounds", spec, "--device", "cpu", "--json", file, *schedule)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(file.read_text()))
    assert found[0]["lower"] == found[1]["lower"]
    assert found[0]["upper"] == found[1]["upper"]


def test_an_error_that_all_ranks_meet_is_said_once() -> None:
    spec = min(DIGITS.glob("*.vnnlib"))
    done = boundmesh("verify", spec, "--mesh", "shards=2", "--offload", "weights",
                     "--schedule", "exchange", "--device", "cpu", "--quiet")  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("boundmesh: ") == 1
    assert "use one of the two" in done.stderr
