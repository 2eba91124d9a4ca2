"""Inputs of whole numbers: embeddings, casts, boxes of integers, whole witnesses."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, load_model_from_string

import boundmesh
from boundmesh import Box
from boundmesh.errors import PropertyError, UnsupportedError
from boundmesh.graph.graph import Graph
from boundmesh.graph.whole import INTEGERS
from boundmesh.read import onnx
from boundmesh.read.runtime import Runtime
from boundmesh.verdict import Falsified, Unknown, Verified
from tests.read.conftest import network_bytes

RANDOM = np.random.default_rng(7)
TABLE = RANDOM.normal(size=(12, 3)).astype(np.float32)
WEIGHT = RANDOM.normal(size=(6, 4)).astype(np.float32)
LAST = RANDOM.normal(size=(4, 1)).astype(np.float32)
CONSTANTS = {"table": TABLE, "w": WEIGHT, "v": LAST}
NODES = (
    helper.make_node("Gather", ["table", "x"], ["rows"]),
    helper.make_node("Flatten", ["rows"], ["flat"]),
    helper.make_node("MatMul", ["flat", "w"], ["hidden"]),
    helper.make_node("Relu", ["hidden"], ["active"]),
    helper.make_node("MatMul", ["active", "v"], ["y"]),
)
QUERY = """(vnnlib-version <2.0>)
(declare-network f (declare-input X {kind} [1,2]) (declare-output Y Real [1,1]))
(assert (and (>= X[0,0] {0}) (<= X[0,0] {1}) (>= X[0,1] {0}) (<= X[0,1] {1})))
(assert (>= Y[0,0] {2}))
"""


def whole_network(
    *nodes: NodeProto, kind: int = TensorProto.INT64, table: np.ndarray = TABLE
) -> Graph:
    constants = CONSTANTS | {"table": table}
    named = {name for node in nodes for name in node.input}
    kept = {name: array for name, array in constants.items() if name in named}
    return read(network_bytes(nodes, {"x": (1, 2)}, constants=kept, dtype=kind))


def read(data: bytes) -> Graph:
    """The network in an ONNX file, with real outputs."""
    model = load_model_from_string(data)
    for each in model.graph.output:
        each.type.tensor_type.elem_type = TensorProto.FLOAT
    return onnx.loads(model.SerializeToString())


def outputs(graph: Graph, low: int, high: int) -> np.ndarray:
    run = Runtime(graph)
    return np.array([run(np.array(x)) for x in product(range(low, high + 1), repeat=2)])


def box(low: float, high: float) -> Box:
    return Box(np.full((1, 2), low), np.full((1, 2), high))


@pytest.mark.parametrize("method", ["ibp", "crown", "alpha-crown"])
@pytest.mark.parametrize(("low", "high"), [(0, 11), (3, 6), (-12, 11), (-2, 1)])
def test_bounds_of_an_embedding_hold_for_every_row_of_the_range(
    method: str, low: int, high: int
) -> None:
    graph = whole_network(*NODES)
    found = boundmesh.bounds(graph, box(low, high), method=method, iterations=3)
    seen = outputs(graph, low, high)
    assert found.lower[0] <= seen.min() + 1e-6
    assert found.upper[0] >= seen.max() - 1e-6


@pytest.mark.parametrize("place", [0, 5, 11, -1])
def test_bounds_of_one_row_are_the_row(place: int) -> None:
    graph = whole_network(helper.make_node("Gather", ["table", "x"], ["y"]))
    found = boundmesh.bounds(graph, box(place, place), method="ibp")
    exact = np.tile(TABLE[place], 2)
    assert np.allclose(found.lower, exact, atol=1e-4)
    assert np.allclose(found.upper, exact, atol=1e-4)


def test_bounds_of_two_neighbouring_rows_are_their_range() -> None:
    graph = whole_network(helper.make_node("Gather", ["table", "x"], ["y"]))
    found = boundmesh.bounds(graph, box(4, 5), method="ibp")
    assert np.allclose(found.lower, np.tile(TABLE[4:6].min(0), 2), atol=1e-5)
    assert np.allclose(found.upper, np.tile(TABLE[4:6].max(0), 2), atol=1e-5)


@pytest.mark.parametrize("method", ["ibp", "crown"])
def test_no_bound_of_many_rows_lies_aside_of_the_table(method: str) -> None:
    graph = whole_network(helper.make_node("Gather", ["table", "x"], ["y"]))
    found = boundmesh.bounds(graph, box(0, 11), method=method)
    assert np.allclose(found.lower, np.tile(TABLE.min(0), 2), atol=1e-5)
    assert np.allclose(found.upper, np.tile(TABLE.max(0), 2), atol=1e-5)


def test_rows_are_picked_along_any_axis() -> None:
    node = helper.make_node("Gather", ["table", "x"], ["y"], axis=1)
    graph = whole_network(node, table=np.ascontiguousarray(TABLE.T))
    assert graph.outputs[0].shape == (3, 1, 2)
    found = boundmesh.bounds(graph, box(7, 7), method="ibp")
    assert np.allclose(found.lower, np.repeat(TABLE[7], 2), atol=1e-5)


@pytest.mark.parametrize("kind", INTEGERS)
def test_inputs_of_every_whole_type_are_read_and_replayed(kind: int, tmp_path: Path) -> None:
    nodes = (
        helper.make_node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["real"], ["y"], keepdims=1),
    )
    graph = whole_network(*nodes, kind=kind)
    assert graph.inputs[0].dtype == INTEGERS[kind]
    spec = tmp_path / "spec.vnnlib"
    spec.write_text(QUERY.format(0, 1, 1.5, kind=INTEGERS[kind]))
    found = boundmesh.verify(graph, spec)
    assert isinstance(found.verdict, Falsified)
    assert found.counterexample is not None
    assert found.counterexample.tolist() == [[1.0, 1.0]]
    spec.write_text(QUERY.format(0, 1, 2.5, kind="Real"))
    assert isinstance(boundmesh.verify(graph, spec).verdict, Verified)


@pytest.mark.parametrize(("low", "high"), [(0, 11), (-0.5, 3.7)])
def test_verdicts_over_whole_numbers_are_those_of_enumeration(
    low: float, high: float, tmp_path: Path
) -> None:
    graph = whole_network(*NODES)
    largest = float(outputs(graph, max(int(np.ceil(low)), 0), int(np.floor(high))).max())
    spec = tmp_path / "spec.vnnlib"
    spec.write_text(QUERY.format(low, high, f"{largest - 1e-3:.6f}", kind="int64"))
    found = boundmesh.verify(graph, spec)
    assert isinstance(found.verdict, Falsified)
    assert found.counterexample is not None
    assert (found.counterexample == np.rint(found.counterexample)).all()
    spec.write_text(QUERY.format(low, high, f"{largest + 1e-3:.6f}", kind="int64"))
    assert isinstance(boundmesh.verify(graph, spec).verdict, Verified)


def test_ranges_too_many_to_enumerate_are_split_at_whole_numbers(tmp_path: Path) -> None:
    table = RANDOM.normal(size=(90, 3)).astype(np.float32)
    graph = whole_network(*NODES, table=table)
    rows = table @ WEIGHT[:3], table @ WEIGHT[3:]
    every = np.maximum(rows[0][:, None] + rows[1][None], 0) @ LAST
    spec = tmp_path / "spec.vnnlib"
    spec.write_text(QUERY.format(0, 89, f"{every.max() + 0.05:.6f}", kind="int64"))
    found = boundmesh.verify(graph, spec, timeout=60)
    assert isinstance(found.verdict, Verified)
    assert len(found.property.cases) == 1
    spec.write_text(QUERY.format(0, 89, f"{np.quantile(every, 0.999):.6f}", kind="int64"))
    assert isinstance(boundmesh.verify(graph, spec, timeout=60).verdict, Falsified)


def test_a_range_without_a_whole_number_has_no_counterexample(tmp_path: Path) -> None:
    spec = tmp_path / "spec.vnnlib"
    spec.write_text(QUERY.format(1.2, 1.8, -100.0, kind="int64"))
    assert isinstance(boundmesh.verify(whole_network(*NODES), spec).verdict, Verified)


def test_whole_inputs_without_an_upper_bound_are_never_proved(tmp_path: Path) -> None:
    nodes = (
        helper.make_node("Greater", ["x", "x"], ["more"]),
        helper.make_node("Cast", ["more"], ["y"], to=TensorProto.FLOAT),
    )
    graph = whole_network(*nodes)
    spec = tmp_path / "spec.vnnlib"
    spec.write_text(
        "(vnnlib-version <2.0>)\n"
        "(declare-network f (declare-input X int64 [1,2]) (declare-output Y Real [1,2]))\n"
        "(assert (>= X[0,0] 30000000))\n(assert (<= Y[0,0] -1.0))\n"
    )
    assert isinstance(boundmesh.verify(graph, spec, timeout=20).verdict, Unknown)


def test_bounds_beyond_what_float32_counts_are_refused(tmp_path: Path) -> None:
    nodes = (helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT),)
    with pytest.raises(PropertyError, match="within ±16777216"):
        boundmesh.verify(
            whole_network(*nodes),
            boundmesh.Property([boundmesh.Case(box(0, 2e9), [boundmesh.Clause([])])], 2, 2),
        )


def test_whole_numbers_are_divided_towards_zero() -> None:
    nodes = (
        helper.make_node("Div", ["x", "three"], ["share"]),
        helper.make_node("Cast", ["share"], ["y"], to=TensorProto.FLOAT),
    )
    data = network_bytes(
        nodes, {"x": (1, 2)}, constants={"three": np.array(3)}, dtype=TensorProto.INT64
    )
    graph = read(data)
    for number in range(-7, 8):
        found = boundmesh.bounds(graph, box(number, number), method="ibp")
        assert np.allclose(found.lower, int(number / 3), atol=1e-4)
        assert np.allclose(found.upper, int(number / 3), atol=1e-4)


@pytest.mark.parametrize(
    ("nodes", "kind"),
    [
        ((("Add", ["x", "x"], {}),), TensorProto.INT8),
        ((("Sub", ["x", "x"], {}),), TensorProto.UINT8),
        ((("Cast", ["x"], {"to": TensorProto.INT8}),), TensorProto.INT64),
        ((("Cast", ["x"], {"to": TensorProto.UINT8}),), TensorProto.INT8),
    ],
)
def test_whole_numbers_that_may_wrap_around_are_refused(
    nodes: tuple[tuple[str, list[str], dict[str, int]], ...], kind: int
) -> None:
    made = [helper.make_node(op, reads, ["a"], **attributes) for op, reads, attributes in nodes]
    last = helper.make_node("Cast", ["a"], ["y"], to=TensorProto.FLOAT)
    with pytest.raises(UnsupportedError, match="hold"):
        whole_network(*made, last, kind=kind)
