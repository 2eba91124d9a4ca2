"""The commands on a mesh: what one device says, said once."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
ON = "--network", DIGITS / "mlp.onnx", "--device", "cpu"


def boundmesh(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "boundmesh", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("shape", ["shards=2", "domains=2", "domains=2,shards=2"])
@pytest.mark.parametrize("spec", sorted(DIGITS.glob("*.vnnlib")), ids=lambda spec: spec.stem)
def test_a_mesh_gives_the_answer_of_one_device(spec: Path, shape: str) -> None:
    alone = boundmesh("verify", spec, *ON, "--exit-code", "--quiet")
    mesh = boundmesh("verify", spec, *ON, "--exit-code", "--quiet", "--mesh", shape)
    assert (mesh.stdout, mesh.returncode) == (alone.stdout, alone.returncode)
    assert alone.stdout.split()[0] in ("sat", "unsat")


def test_a_mesh_writes_the_bounds_of_one_device(tmp_path: Path) -> None:
    spec = min(DIGITS.glob("*.vnnlib"))
    found: list[dict[str, Any]] = []
    for mesh in ("", "shards=2"):
        file = tmp_path / f"bounds{len(found)}.json"
        schedule = ("--mesh", mesh, "--schedule", "gather") if mesh else ()
        done = boundmesh("bounds", spec, *ON, "--json", file, *schedule)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(file.read_text()))
    assert found[0]["lower"] == found[1]["lower"]
    assert found[0]["upper"] == found[1]["upper"]


def test_an_error_that_all_ranks_meet_is_said_once() -> None:
    spec = min(DIGITS.glob("*.vnnlib"))
    done = boundmesh("verify", spec, *ON, "--mesh", "shards=2", "--offload", "weights",
                     "--schedule", "exchange", "--quiet")  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("boundmesh: ") == 1
    assert "use one of the two" in done.stderr


def test_bounds_alone_have_no_use_for_groups_of_domains() -> None:
    done = boundmesh("bounds", min(DIGITS.glob("*.vnnlib")), *ON, "--mesh", "domains=2", "--quiet")
    assert done.returncode == 2
    assert "bounds alone have none to divide; use shards" in done.stderr


@pytest.mark.parametrize("shape", ["domains=2", "shards=2", "domains=2,shards=2"])
def test_a_mesh_decides_a_list_and_goes_on_after_an_error(tmp_path: Path, shape: str) -> None:
    lines = ["mlp.onnx,near.vnnlib,60", "absent.onnx,near.vnnlib,60", "mlp.onnx,far.vnnlib,60"]
    for file in ("mlp.onnx", "near.vnnlib", "far.vnnlib"):
        shutil.copy(DIGITS / file, tmp_path)
    (tmp_path / "instances.csv").write_text("\n".join(lines[:2]))
    out = tmp_path / "results.csv"
    words = "bench", tmp_path / "instances.csv", "--device", "cpu", "--mesh", shape, "--out", out
    first = boundmesh(*words)
    assert (first.returncode, first.stdout) == (0, ""), first.stderr
    (tmp_path / "instances.csv").write_text("\n".join(lines))
    second = boundmesh(*words)
    assert (second.returncode, second.stdout) == (0, ""), second.stderr
    with out.open(newline="") as table:
        found = list(csv.DictReader(table))
    assert [row["verdict"] for row in found] == ["unsat", "error", "sat"]
    assert {row["device"] for row in found} == {f"cpu × {4 if ',' in shape else 2}"}


def test_a_wrong_verdict_of_a_mesh_is_shown_and_ends_with_2(tmp_path: Path) -> None:
    for file in ("mlp.onnx", "far.vnnlib"):
        shutil.copy(DIGITS / file, tmp_path)
    (tmp_path / "instances.csv").write_text("mlp.onnx,far.vnnlib,60,unsat")
    summary = tmp_path / "summary.json"
    done = boundmesh("bench", tmp_path / "instances.csv", "--device", "cpu",
                     "--mesh", "domains=2", "--json", summary)  # fmt: skip
    assert done.returncode == 2
    assert "WRONG: expected unsat" in done.stderr
    assert len(json.loads(summary.read_text())["wrong"]) == 1
