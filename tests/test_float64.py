"""Once more in float64: where float32's rounding stands in a proof's way, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import boundmesh
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Graph, Port
from boundmesh.proof import float64
from boundmesh.property import Atom, Box, Case, Clause, Property
from boundmesh.read.onnx import loads
from tests import networks


def square_off_center(off: float) -> Graph:
    """`(x + off)² − 2·off·x − off²`, which is x²; float32 rounds at off²."""
    build = Builder()
    x = build.input((1, 1))
    square = build.add("power", build.add("shift", x, weights=(np.array(off),)), exponent=2.0)
    line = build.add("scale", x, weights=(np.array(2 * off),))
    flat = build.add("subtract", square, line)
    y = build.add("shift", flat, weights=(np.array(-off * off),))
    ports = (Port("input", (1, 1)),), (Port("output", (1, 1)),)
    return Graph(tuple(build.nodes.values()), "input", y.name, build.weights, *ports)


def never_below(least: float) -> Property:
    region = Box(np.array([-0.01]), np.array([0.01]))
    clause = Clause((Atom((), ((0, 1.0),), least),))
    return Property((Case(region, (clause,)),), 1, 1)


def test_what_float32_rounds_away_is_proved_in_float64_without_a_search() -> None:
    found = boundmesh.verify(square_off_center(1024.0), never_below(-0.5), rounding="real")
    assert found.verdict.word == "unsat"
    assert "float64" in found.seconds and "branch" not in found.seconds


def test_what_float32_proves_is_bounded_once() -> None:
    found = boundmesh.verify(square_off_center(1.0), never_below(-0.5))
    assert found.verdict.word == "unsat"
    assert "float64" not in found.seconds


def test_a_method_that_was_asked_for_is_not_followed_by_float64() -> None:
    found = boundmesh.verify(square_off_center(1024.0), never_below(-0.5), method="alpha-crown")
    assert found.verdict.word == "unknown"
    assert "float64" not in found.seconds


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [("smooth", "float32", True), ("smooth", "float64", False), ("mlp", "float32", False)],
)
def test_float64_helps_smooth_networks_in_float32(name: str, dtype: str, expected: bool) -> None:
    graph = networks.NETWORKS[name](0)
    assert float64.helps(graph, OneDevice(graph, "cpu", getattr(torch, dtype))) == expected


@pytest.mark.parametrize(("wide", "expected"), [(1_000, True), (2_100, False)])
def test_float64_helps_networks_of_up_to_four_million_multiplications(
    wide: int, expected: bool
) -> None:
    graph = networks.mlp(wide, wide, 1, activation="tanh")
    assert float64.helps(graph, OneDevice(graph)) == expected


def kinks_beside_fourth_powers(off: float, inputs: int = 9) -> Graph:
    """The mean of `0.01·(relu(x) − relu(−x) − x) − x⁴`, which is at least −1 on [−1, 1].

    x² is computed as `(x + off)² − 2·off·x − off²`, and float32 rounds at off².
    """
    shape = [1, inputs]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])
    nodes = [
        helper.make_node("Add", ["x", "off"], ["moved"]),
        helper.make_node("Mul", ["moved", "moved"], ["both"]),
        helper.make_node("Mul", ["x", "slope"], ["line"]),
        helper.make_node("Sub", ["both", "line"], ["rest"]),
        helper.make_node("Sub", ["rest", "constant"], ["square"]),
        helper.make_node("Mul", ["square", "square"], ["fourth"]),
        helper.make_node("Relu", ["x"], ["positive"]),
        helper.make_node("Neg", ["x"], ["opposite"]),
        helper.make_node("Relu", ["opposite"], ["negative"]),
        helper.make_node("Sub", ["positive", "negative"], ["same"]),
        helper.make_node("Sub", ["same", "x"], ["kinks"]),
        helper.make_node("Mul", ["kinks", "small"], ["few"]),
        helper.make_node("Sub", ["few", "fourth"], ["each"]),
        helper.make_node("MatMul", ["each", "mean"], ["y"]),
    ]
    numbers = {"off": [off], "slope": [2 * off], "constant": [off * off], "small": [0.01]}
    arrays = {name: np.array(value, np.float32) for name, value in numbers.items()}
    arrays["mean"] = np.full((inputs, 1), 1 / inputs, np.float32)
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "kinks", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return loads(model.SerializeToString())


@pytest.mark.parametrize("branching", ["auto", "fsb"])
def test_a_search_goes_on_in_float64_where_float32_could_close_no_domain(branching: str) -> None:
    clause = Clause((Atom((), ((0, 1.0),), -1.004),))
    wanted = Property((Case(Box(-np.ones(9), np.ones(9)), (clause,)),), 9, 1)
    options = {"rounding": "real", "branching": branching, "timeout": 20.0, "restarts": 0}
    found = boundmesh.verify(kinks_beside_fourth_powers(64.0), wanted, **options)
    assert found.verdict.word == "unsat"
    assert "branch" in found.seconds


def table(*margins: float) -> torch.Tensor:
    return torch.tensor([margins], dtype=torch.float64)


@pytest.mark.parametrize(
    ("coarse", "fine", "expected"),
    [
        ((-0.5,), (-0.1,), True),
        ((-0.5,), (-0.49,), False),
        ((-0.5, -0.5), (0.1, -0.5), False),
        ((-0.5, -0.5), (-0.5, -0.2), True),
        ((-np.inf,), (-1.0,), True),
        ((-np.inf,), (-np.inf,), False),
        ((np.nan,), (-1.0,), True),
    ],
)
def test_float32_hides_a_proof_where_float64_wins_much_of_what_an_open_clause_lacks(
    coarse: tuple[float, ...], fine: tuple[float, ...], expected: bool
) -> None:
    assert float64.hides(table(*coarse), table(*fine)) == expected


def test_boxes_that_float32_cannot_halve_are_halved_in_float64() -> None:
    clause = Clause((Atom((), ((0, 1.0),), -1.0025),))
    wanted = Property((Case(Box([-1.0], [1.0]), (clause,)),), 1, 1)
    graph = kinks_beside_fourth_powers(64.0, inputs=1)
    found = boundmesh.verify(graph, wanted, rounding="real", timeout=20.0, restarts=0)
    assert found.verdict.word == "unsat"


def test_halving_in_float64_ends_where_the_claim_is_false() -> None:
    clause = Clause((Atom((), ((0, 1.0),), -0.99),))
    wanted = Property((Case(Box([-1.0], [1.0]), (clause,)),), 1, 1)
    graph = kinks_beside_fourth_powers(64.0, inputs=1)
    found = boundmesh.verify(graph, wanted, rounding="real", timeout=60.0, restarts=0)
    assert found.verdict.word in ("sat", "unknown")
