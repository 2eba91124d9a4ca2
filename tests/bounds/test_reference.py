"""Bounds of real networks against those that auto_LiRPA computed (see the data's own page)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import boundmesh
from boundmesh.property import Property
from boundmesh.read import onnx, vnnlib

DATA = Path(__file__).parents[3] / "shared" / "data"
FILE = DATA / "reference" / "bounds.json"
EVERY = json.loads(FILE.read_text()) if FILE.exists() else []
# One property of each network: those of one network are bounded in the same way.
RECORDS = list({record["onnx"]: record for record in reversed(EVERY)}.values())
OUTPUTS = 40
NAMES = [
    f"{r['family']}-{Path(r['onnx']).name[:18]}-{Path(r['vnnlib']).name[:24]}" for r in RECORDS
]
RELU = [(name, r) for name, r in zip(NAMES, RECORDS, strict=True) if r["family"] != "dist_shift"]
SMALL = [(name, r) for name, r in RELU if r["family"] in ("mnist_fc", "acasxu")]

pytestmark = pytest.mark.skipif(not RECORDS, reason=f"{FILE} is not here")


@cache
def network(path: Path):
    return onnx.load(path)


def computed(record: dict, method: str) -> tuple[np.ndarray, np.ndarray]:
    folder = DATA / "vnncomp" / record["family"]
    graph = network(folder / record["onnx"])
    wanted: Property = vnnlib.load(folder / record["vnnlib"], graph.inputs, graph.outputs)
    rows = np.eye(graph[graph.output].size)[:OUTPUTS]
    found = boundmesh.bounds(
        graph, wanted.cases[0].region, method=method, rows=rows, rounding="trust"
    )
    return found.lower, found.upper


def stated(record: dict, method: str) -> tuple[np.ndarray, np.ndarray, float]:
    lower, upper = (np.array(record[method][end]) for end in ("lower", "upper"))
    return lower, upper, max(np.abs(lower).max(), np.abs(upper).max())


@pytest.mark.parametrize("method", ["IBP", "CROWN"])
@pytest.mark.parametrize("record", [r for _, r in RELU], ids=[name for name, _ in RELU])
def test_ibp_and_crown_equal_the_reference_on_relu_networks(record, method):
    lower, upper = computed(record, method.lower())
    low, high, largest = stated(record, method)
    assert np.abs(lower - low).max() <= 1e-4 * largest
    assert np.abs(upper - high).max() <= 1e-4 * largest


@pytest.mark.parametrize("record", [r for _, r in SMALL], ids=[name for name, _ in SMALL])
def test_alpha_crown_is_at_least_as_tight_as_the_reference(record):
    lower, upper = computed(record, "alpha-crown")
    low, high, largest = stated(record, "CROWN-Optimized")
    assert (lower >= low - 1e-3 * largest).all()
    assert (upper <= high + 1e-3 * largest).all()


def test_crown_through_sigmoids_is_no_wider_than_the_reference_on_average():
    (record,) = (r for r in RECORDS if r["family"] == "dist_shift")
    lower, upper = computed(record, "crown")
    low, high, _ = stated(record, "CROWN")
    assert (upper - lower).mean() <= (high - low).mean()
