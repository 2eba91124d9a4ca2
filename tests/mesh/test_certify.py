"""`certify` on a mesh: the verdicts of one process."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import boundmesh
from tests.certify.networks import graph_of, inputs, mlp
from tests.mesh.test_command import boundmesh as command


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small network and its inputs."""
    folder = tmp_path_factory.mktemp("certify")
    torch.onnx.export(
        mlp(1), (torch.zeros(1, 10),), folder / "net.onnx", dynamo=True, verbose=False
    )
    np.save(folder / "x.npy", inputs(8, seed=2))
    return folder


def on_shards(here: Path, *words: str) -> list[dict[str, Any]]:
    file = here / "found.json"
    done = command(
        "certify", here / "net.onnx", here / "x.npy", "--device", "cpu", "--json", file,
        "--mesh", "shards=2", *words,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(file.read_text())["inputs"]
    file.unlink()
    return found


@pytest.mark.parametrize("schedule", ["gather", "exchange"])
def test_shards_give_the_verdicts_of_one_process(here: Path, schedule: str) -> None:
    """The radius is so large that some inputs are certified by a search."""
    alone = boundmesh.certify(
        boundmesh.load(here / "net.onnx"), inputs(8, seed=2), eps="0.12", timeout_per_input=30,
        device="cpu",
    )  # fmt: skip
    assert {"certified", "falsified"} <= set(alone.verdicts)
    assert any(each.stage == "search" for each in alone)
    words = "--eps", "0.12", "--timeout-per-input", "30", "--schedule", schedule
    for one, two in zip(alone, on_shards(here, *words), strict=True):
        assert (one.verdict, one.stage) == (two["verdict"], two["stage"])


def test_shards_find_the_radii_of_one_process(here: Path) -> None:
    alone = boundmesh.certify(
        boundmesh.load(here / "net.onnx"), inputs(8, seed=2)[:2], eps="0.2", largest=True,
        tolerance="0.02", method="crown", device="cpu",
    )  # fmt: skip
    words = "--eps", "0.2", "--largest", "--tolerance", "0.02", "--first", "2", "--method", "crown"
    found = on_shards(here, *words, "--schedule", "gather")
    assert max(each.certified_eps for each in alone) > 0
    for one, two in zip(alone, found, strict=True):
        assert one.certified_eps == two["certified_eps"]
        refuted = two["falsified_eps"]
        assert one.falsified_eps == (math.inf if refuted is None else refuted)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mesh": "domains=2"}, "several groups of domains"),
        ({"mesh": "shards=2", "jobs": 2}, "leave one of the two out"),
    ],
)
def test_what_a_mesh_cannot_do_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(boundmesh.BoundmeshError, match=said):
        boundmesh.certify(graph_of(mlp(1)), inputs(2), eps=0.1, **options)
