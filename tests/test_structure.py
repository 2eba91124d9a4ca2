"""Networks that lack what most have (activations, axes, unstable neurons) are decided."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from boundmesh import Atom, Ball, Box, Case, Clause, Property, bounds, verify
from boundmesh.graph.graph import Graph
from boundmesh.read.onnx import loads

BRANCHINGS = ("auto", "babsr", "fsb", "input")
METHODS = ("ibp", "crown-ibp", "crown", "alpha-crown")
WEIGHT = np.array([[1, 2], [-1, 1]], np.float32)
BIAS = np.array([0.5, -0.25], np.float32)


def network(*nodes: onnx.NodeProto, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Graph:
    """x → y, with `w`, `b` of y = x·w + b, and `two`, for the nodes to read."""
    graph = helper.make_graph(
        nodes,
        "f",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, outputs)],
        [
            numpy_helper.from_array(WEIGHT, "w"),
            numpy_helper.from_array(BIAS, "b"),
            numpy_helper.from_array(np.array(2, np.float32), "two"),
        ],
    )
    opset = [helper.make_opsetid("", 13)]
    return loads(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


LINEAR = network(
    helper.make_node("Gemm", ["x", "w", "b"], ["y"]),
    inputs=(1, 2),
    outputs=(1, 2),
)
"""y₀ = x₀ − x₁ + 1/2, y₁ = 2·x₀ + x₁ − 1/4."""
SQUARE = Box(np.zeros(2), np.ones(2))


def asked(region: Box | Ball, *atoms: Atom, outputs: int = 2) -> Property:
    """Can all of the atoms hold somewhere on the region?"""
    inputs = region.lower.size if isinstance(region, Box) else region.center.size
    return Property((Case(region, (Clause(atoms),)),), inputs, outputs)


@pytest.mark.parametrize("branching", BRANCHINGS)
def test_a_network_without_activations_is_decided_by_two_outputs_together(branching: str) -> None:
    # x₀ − x₁ ≥ 0.9 and 2·x₀ + x₁ ≤ 1.25 are possible apart, and not together.
    both = (Atom((), ((0, -1.0),), -1.4), Atom((), ((1, 1.0),), 1.0))
    for atom in both:
        assert verify(LINEAR, asked(SQUARE, atom)).verdict.word == "sat"
    proved = verify(LINEAR, asked(SQUARE, *both), branching=branching, restarts=0, timeout=20)
    assert proved.verdict.word == "unsat"


@pytest.mark.parametrize("branching", BRANCHINGS)
def test_a_network_without_activations_is_decided_under_a_condition_on_its_inputs(
    branching: str,
) -> None:
    # With x₀ + x₁ ≤ 1/2, y₁ is at most 3/4.
    condition = Atom(((0, 1.0), (1, 1.0)), (), 0.5)
    for least, word in ((0.8, "unsat"), (0.7, "sat")):
        prop = asked(SQUARE, condition, Atom((), ((1, -1.0),), -least))
        assert verify(LINEAR, prop, branching=branching, timeout=20).verdict.word == word


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_a_network_without_activations_is_decided_on_a_ball(p: float) -> None:
    # On the ball of radius 1 around 0, y₀ reaches 1/2 + ‖(1, −1)‖ of the dual norm.
    reach = 0.5 + (1 if p == 1 else 2**0.5)
    ball = Ball(np.zeros(2), 1.0, p)
    above = asked(ball, Atom((), ((0, -1.0),), -reach - 0.01))
    assert verify(LINEAR, above, restarts=0).verdict.word == "unsat"
    together = asked(ball, Atom((), ((0, -1.0),), 0.0), Atom((), ((1, -1.0),), 0.0))
    assert verify(LINEAR, together, restarts=0, timeout=20).verdict.word in ("sat", "unknown")


@pytest.mark.parametrize("branching", BRANCHINGS)
@pytest.mark.parametrize("bias", [-3.0, 3.0])
def test_a_network_whose_neurons_are_all_decided_is_split_where_it_can_be(
    branching: str, bias: float
) -> None:
    fixed = network(
        helper.make_node("Gemm", ["x", "w", "b"], ["z"]),
        helper.make_node(
            "Constant", [], ["shift"], value=numpy_helper.from_array(np.full(2, bias, np.float32))
        ),
        helper.make_node("Add", ["z", "shift"], ["moved"]),
        helper.make_node("Relu", ["moved"], ["y"]),
        inputs=(1, 2),
        outputs=(1, 2),
    )
    box = Box(np.zeros(2), np.full(2, 0.2))
    both = (Atom((), ((0, -1.0),), -bias - 0.65), Atom((), ((1, 1.0),), bias - 0.02))
    prop = asked(box, *both)
    assert verify(fixed, prop, branching=branching, restarts=0, timeout=20).verdict.word == "unsat"


def test_a_clause_without_atoms_holds_everywhere_and_is_never_refuted() -> None:
    assert verify(LINEAR, asked(SQUARE)).verdict.word == "sat"
    for method in ("auto", *METHODS):
        assert verify(LINEAR, asked(SQUARE), restarts=0, method=method).verdict.word == "unknown"


SCALAR_INSIDE = network(
    helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
    helper.make_node("Sub", ["most", "two"], ["less"]),
    helper.make_node("Abs", ["less"], ["far"]),
    helper.make_node("Mul", ["far", "x"], ["y"]),
    inputs=(1, 2),
    outputs=(1, 2),
)
SCALAR_OUTPUT = network(
    helper.make_node("Gemm", ["x", "w", "b"], ["z"]),
    helper.make_node("Relu", ["z"], ["r"]),
    helper.make_node("ReduceMean", ["r"], ["y"], keepdims=0),
    inputs=(1, 2),
    outputs=(),
)
SCALAR_INPUT = network(
    helper.make_node("Mul", ["x", "two"], ["double"]),
    helper.make_node("Tanh", ["double"], ["t"]),
    helper.make_node("Transpose", ["t"], ["same"]),
    helper.make_node("Relu", ["same"], ["r"]),
    helper.make_node("Sub", ["r", "x"], ["y"]),
    inputs=(),
    outputs=(),
)
SCALARS = {
    "inside": (SCALAR_INSIDE, lambda x: abs(x.max() - 2) * x),
    "output": (SCALAR_OUTPUT, lambda x: np.maximum(x @ WEIGHT + BIAS, 0).mean()),
    "input": (SCALAR_INPUT, lambda x: np.maximum(np.tanh(2 * x), 0) - x),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SCALARS)
def test_values_without_axes_are_bounded(name: str, method: str) -> None:
    graph, truth = SCALARS[name]
    size = graph[graph.input].size
    found = bounds(graph, Box(-np.ones(size), np.ones(size)), method=method)
    points = np.random.default_rng(0).uniform(-1, 1, (300, size))
    y = np.stack([np.ravel(truth(x)) for x in points])
    assert (found.lower - 1e-6 <= y).all() and (y <= found.upper + 1e-6).all()


@pytest.mark.parametrize("branching", BRANCHINGS)
@pytest.mark.parametrize("name", ["output", "input"])
def test_values_without_axes_are_decided(name: str, branching: str) -> None:
    graph, truth = SCALARS[name]
    size = graph[graph.input].size
    assert graph.outputs[0].shape == () and graph[graph.output].shape == (1,)
    corners = np.stack(np.meshgrid(*[np.linspace(-1, 1, 201)] * size), -1).reshape(-1, size)
    most = max(float(np.ravel(truth(x))[0]) for x in corners)
    box = Box(-np.ones(size), np.ones(size))
    for beyond, word in ((0.05, "unsat"), (-0.05, "sat")):
        prop = asked(box, Atom((), ((0, -1.0),), -most - beyond), outputs=1)
        assert verify(graph, prop, branching=branching, timeout=20).verdict.word == word
