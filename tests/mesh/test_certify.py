"""`certify` on a mesh: the verdicts of one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.certify.networks import inputs, mlp
from tests.mesh.test_command import boundmesh


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small network and its inputs."""
    folder = tmp_path_factory.mktemp("certify")
    torch.onnx.export(
        mlp(1), (torch.zeros(1, 10),), folder / "net.onnx", dynamo=True, verbose=False
    )
    np.save(folder / "x.npy", inputs(12, seed=2))
    return folder


def certified(here: Path, *words: str) -> dict[str, Any]:
    file = here / "found.json"
    done = boundmesh(
        "certify", here / "net.onnx", here / "x.npy", "--device", "cpu", "--json", file, *words
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    file.unlink()
    return {**found, "stdout": done.stdout}


@pytest.mark.parametrize("schedule", ["gather", "exchange"])
def test_shards_give_the_verdicts_of_one_process(here: Path, schedule: str) -> None:
    """The radius is so large that some inputs are certified by a search."""
    words = "--eps", "0.12", "--timeout-per-input", "30", "--first", "8"
    alone = certified(here, *words)
    mesh = certified(here, *words, "--mesh", "shards=2", "--schedule", schedule)
    assert {"certified", "falsified"} <= {each["verdict"] for each in alone["inputs"]}
    assert any(each["stage"] == "search" for each in alone["inputs"])
    for one, two in zip(alone["inputs"], mesh["inputs"], strict=True):
        assert (one["verdict"], one["stage"]) == (two["verdict"], two["stage"])
        if schedule == "gather" and one["stage"] != "search":
            assert one["margins"] == two["margins"]


def test_shards_find_the_radii_of_one_process(here: Path) -> None:
    words = "--eps", "0.2", "--largest", "--tolerance", "0.02", "--first", "2", "--method", "crown"
    alone = certified(here, *words)
    mesh = certified(here, *words, "--mesh", "shards=2", "--schedule", "gather")
    assert max(each["certified_eps"] for each in alone["inputs"]) > 0
    for one, two in zip(alone["inputs"], mesh["inputs"], strict=True):
        assert one["certified_eps"] == two["certified_eps"]
        assert one["falsified_eps"] == two["falsified_eps"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--mesh", "domains=2"), "several groups of domains"),
        (("--mesh", "shards=2", "--jobs", "2"), "leave one of the two out"),
    ],
)
def test_what_a_mesh_cannot_do_is_said_once(here: Path, words: tuple[str, ...], said: str) -> None:
    done = boundmesh(
        "certify", here / "net.onnx", here / "x.npy", "--eps", "0.1", "--device", "cpu", *words
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("boundmesh: ") == 1 and said in done.stderr
