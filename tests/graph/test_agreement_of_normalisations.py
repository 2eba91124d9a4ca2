"""Normalisations agree with ONNX Runtime wherever rounding decides what they divide by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper

import boundmesh
from boundmesh.errors import ReadError
from boundmesh.graph.graph import Graph
from boundmesh.operators import Interval
from boundmesh.operators.node import Node
from boundmesh.property import Box
from boundmesh.read.agreement import agrees_with_source
from boundmesh.read.defined_ranges import range_of
from boundmesh.read.onnx import loads
from tests.graph.small import changed

SHAPES = ([1, 3, 1, 1], [1, 3, 2, 2], [1, 1, 1, 4])
ONE_PER_CHANNEL, ONE_PER_COLUMN, NONE = "channels", "columns", ""
NORMALISATIONS: list[tuple[str, str, int, int, dict[str, Any]]] = [
    ("InstanceNormalization", ONE_PER_CHANNEL, 2, 17, {}),
    ("GroupNormalization", ONE_PER_CHANNEL, 2, 21, {"num_groups": 1}),
    ("BatchNormalization", ONE_PER_CHANNEL, 4, 15, {}),
    ("LayerNormalization", ONE_PER_COLUMN, 2, 17, {"axis": -1}),
    ("LayerNormalization", ONE_PER_COLUMN, 2, 17, {"axis": 1, "epsilon": 1e-12}),
    ("RMSNormalization", ONE_PER_COLUMN, 1, 23, {"axis": -1}),
    ("LRN", NONE, 0, 13, {"size": 3}),
]


def normalisation(
    op: str, weights: str, count: int, opset: int, attributes: dict[str, Any], shape: list[int]
) -> Graph:
    """A network of one normalisation."""
    lengths = {ONE_PER_CHANNEL: shape[1:2], ONE_PER_COLUMN: shape[-1:], NONE: []}[weights]
    if op == "LayerNormalization" and attributes["axis"] == 1:
        lengths = shape[1:]
    arrays: list[NDArray[np.float32]] = [
        np.full(lengths, 0.7 + place / 4, np.float32) for place in range(count)
    ]
    names = [f"w{place}" for place in range(count)]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *names], ["y"], **attributes)],
        "g",
        [info("x", 1, shape)],
        [info("y", 1, None)],
        [numpy_helper.from_array(array, name) for array, name in zip(arrays, names, strict=True)],
    )
    opsets = [helper.make_opsetid("", opset)]
    return loads(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("form", NORMALISATIONS, ids=lambda form: form[0])
def test_normalisations_of_few_or_large_numbers_agree_with_their_source(
    form: tuple[str, str, int, int, dict[str, Any]], shape: list[int]
) -> None:
    """float32 gives the variance of a single number, or of nearly equal ones, as noise."""
    graph, size = normalisation(*form, shape), int(np.prod(shape))
    for middle, radius in ((0.0, 1.0), (100.0, 1.0), (3e4, 3e4), (1e6, 1.0), (1e-7, 1e-7)):
        box = Box(np.full(size, middle - radius), np.full(size, middle + radius))
        try:
            agrees_with_source(graph, [box], dtype=torch.float64)
        except ReadError as refused:
            # GroupNormalization takes the root of E[x²] − E[x]², which may be below zero.
            assert "output is NaN or infinite" in str(refused)
            assert form[0] == "GroupNormalization"


def test_another_normalisation_than_the_source_s_still_differs() -> None:
    form = NORMALISATIONS[0]
    graph = normalisation(*form, [1, 1, 2, 2])
    other = normalisation(*form[:-1], {"epsilon": 0.1}, [1, 1, 2, 2])
    with pytest.raises(ReadError, match="differs from ONNX Runtime"):
        agrees_with_source(replace(graph, source=other.source), [Box(-np.ones(4), np.ones(4))])
    limit = next(node for node in graph.nodes if node.op == "limited")
    wrong = changed(graph, limit.name, op="relu", attributes={})
    with pytest.raises(ReadError, match="differs from ONNX Runtime"):
        agrees_with_source(wrong, [Box(-np.ones(4), np.ones(4))])


@pytest.mark.parametrize(("op", "attributes"), [
    ("sqrt", {}), ("log", {}), ("reciprocal", {}), ("power", {"exponent": -0.5}),
    ("power", {"exponent": -1.0}), ("power", {"exponent": -2.0}), ("power", {"exponent": 3.0}),
])  # fmt: skip
@pytest.mark.parametrize(
    "ends", [(-1.0, 2.0), (0.0, 2.0), (-2.0, 0.0), (0.5, np.inf), (-3.0, -1.0)]
)
def test_ranges_hold_every_value_where_the_function_is_defined(
    op: str, attributes: dict[str, float], ends: tuple[float, float]
) -> None:
    node = Node("n", op, ("x",), (1,), ((1,),), attributes)
    lower, upper = (torch.tensor([[end]], dtype=torch.float64) for end in ends)
    found = range_of(node, (), [Interval(lower, upper)])
    x = torch.linspace(max(ends[0], -50), min(ends[1], 50), 1001, dtype=torch.float64)
    value = {
        "sqrt": torch.sqrt, "log": torch.log, "reciprocal": torch.reciprocal,
        "power": lambda x: x.pow(attributes["exponent"]),
    }[op](x)  # fmt: skip
    value = value[~value.isnan()]
    if ends[1] < 0 and not len(value):
        assert bool(found.lower.isnan())
        return
    # 1/0 is an end of the range of either side.
    value = value[value.isfinite()]
    assert bool((found.lower[0] <= value).all()) and bool((value <= found.upper[0]).all())


def test_a_batch_normalised_by_its_own_mean_and_variance_is_bounded() -> None:
    """PyTorch exports these with a mean and a variance that the network computes."""
    layer = torch.nn.BatchNorm2d(2, track_running_stats=False).eval()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 2.0]))
        layer.bias.copy_(torch.tensor([-1.0, 3.0]))
    graph = boundmesh.from_torch(layer, torch.rand(1, 2, 2, 2))
    box = Box(np.full(8, 3.0), np.full(8, 4.0))
    for method in ("ibp", "crown"):
        found = boundmesh.bounds(graph, box, method=method)
        x = torch.rand(200, 1, 2, 2, 2) + 3
        with torch.no_grad():
            y = torch.stack([layer(point).flatten() for point in x]).numpy()
        assert (found.lower.reshape(-1) <= y + 1e-5).all()
        assert (y <= found.upper.reshape(-1) + 1e-5).all()
        # No element of four is further than √3 deviations from their mean.
        assert (found.upper.reshape(-1) <= np.repeat([-1 + 0.5 * 3, 3 + 2 * 3], 4)).all()
