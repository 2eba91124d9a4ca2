"""Every network of the competition loads and agrees with ONNX Runtime."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from boundmesh.property import Box
from boundmesh.read.agreement import agrees_with_source
from boundmesh.read.onnx import load

FAMILIES = (
    "acasxu", "cersyve", "cifar10_resnet", "collins_rul_cnn", "cora", "dist_shift", "linearizenn",
    "lsnc", "malbeware", "metaroom_4cnn", "ml4acopf", "mnist_fc", "oval21", "reach_prob_density",
    "rl_benchmarks", "safenlp", "sat_relu", "sri_resnet_a", "tllverifybench", "vit_2023", "yolo",
)  # fmt: skip


def networks(folder: Path) -> list[Path]:
    with (folder / "instances.csv").open() as table:
        return sorted({folder / row["onnx"] for row in csv.DictReader(table)})


@pytest.mark.parametrize("family", FAMILIES)
def test_networks_of_the_family_agree_with_onnx_runtime(family, data):
    for path in networks(data / family):
        graph = load(path)
        size = graph[graph.input].size
        agrees_with_source(graph, [Box(np.zeros(size), np.ones(size))])


def test_no_family_is_left_out(data):
    assert sorted(folder.name for folder in data.iterdir()) == sorted(FAMILIES)
