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
from tests.mesh.test_command import Start, on_mesh


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small network and its inputs."""
    folder = tmp_path_factory.mktemp("certify")
    torch.onnx.export(
        mlp(1), (torch.zeros(1, 10),), folder / "net.onnx", dynamo=True, verbose=False
    )
    np.save(folder / "x.npy", inputs(8, seed=2))
    return folder


def on_shards(start: Start, here: Path, *words: str) -> list[dict[str, Any]]:
    file = here / "found.json"
    words = "certify", str(here / "net.onnx"), str(here / "x.npy"), "--json", str(file), *words
    done = on_mesh(start, "shards=2", *words)
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(file.read_text())["inputs"]
    file.unlink()
    return found


def test_shards_give_the_verdicts_of_one_process(here: Path, command_ranks: Start) -> None:
    """The radius is so large that some inputs are certified by a search."""
    alone = boundmesh.certify(
        boundmesh.load(here / "net.onnx"), inputs(8, seed=2), eps="0.12", timeout_per_input=30,
        device="cpu",
    )  # fmt: skip
    assert {"certified", "falsified"} <= set(alone.verdicts)
    assert any(each.stage == "search" for each in alone)
    words = "--eps", "0.12", "--timeout-per-input", "30", "--schedule"
    for schedule in ("gather", "exchange"):
        found = on_shards(command_ranks, here, *words, schedule)
        for one, two in zip(alone, found, strict=True):
            assert (one.verdict, one.stage) == (two["verdict"], two["stage"])


def test_shards_find_the_radii_of_one_process(here: Path, command_ranks: Start) -> None:
    alone = boundmesh.certify(
        boundmesh.load(here / "net.onnx"), inputs(8, seed=2)[:2], eps="0.2", largest=True,
        tolerance="0.02", method="crown", device="cpu",
    )  # fmt: skip
    words = "--eps", "0.2", "--largest", "--tolerance", "0.02", "--first", "2", "--method", "crown"
    found = on_shards(command_ranks, here, *words, "--schedule", "gather")
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
