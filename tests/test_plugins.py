"""An operator, a bound method and a heuristic are added by one file, this one, and verify."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor

from boundmesh import Atom, BoundmeshError, Box, Case, Clause, Property, bounds, verify
from boundmesh.bounds.methods import table as methods
from boundmesh.bounds.methods.crown import crown
from boundmesh.bounds.methods.domain_bounds import BoundedDomains
from boundmesh.bounds.methods.method import BoundMethod, MethodOptions, RowBounds
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.neurons import Neurons
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.graph import Graph
from boundmesh.named_options import with_options
from boundmesh.operators import RULES
from boundmesh.operators.common_rules import Weights, monotone
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.rounding import Rounded
from boundmesh.read.onnx import loads
from boundmesh.read.translate.step import TRANSLATIONS, Step, Value, translates
from boundmesh.search.branching import table as heuristics
from boundmesh.search.branching.heuristic import Heuristic
from boundmesh.search.domain import Domains
from boundmesh.settings import Branching, OutputMethod, Settings
from tests.bounds.test_exact import exact_minimum

Layer = tuple[np.ndarray, np.ndarray]
"""Weight `[out, in]` and bias `[out]`."""

# The operator: ONNX's ThresholdedRelu with threshold 0, where it is `max(x, 0)` and does not jump.


def thresholded(node: Node, weights: Weights, x: Tensor) -> Tensor:
    return x.clamp(min=0)


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    return (boxes[0].lower < 0) & (boxes[0].upper > 0)


def initial(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    return (boxes[0].upper > -boxes[0].lower).to(boxes[0].lower)


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Above, the chord of slope `k = u/(u − l)`; below, `α·x`; l and u are cut at 0."""
    low, high = boxes[0].lower.clamp(max=0).unsqueeze(1), boxes[0].upper.clamp(min=0).unsqueeze(1)
    chord = high / torch.where(high == low, 1, high - low)
    below = torch.where((low < 0) & (high > 0), alpha, chord)
    return Lines((below,), (chord,), None, -chord * low)


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    return (
        Rounded(2 * torch.maximum(boxes[0].lower.abs(), boxes[0].upper.abs()), 0, 8, node.size),
    )


THRESHOLDED = Operator(
    "thresholded",
    thresholded,
    monotone(thresholded),
    relax=relax,
    initial=initial,
    unstable=unstable,
    split_point=lambda node: 0.0,
    rounded=rounded,
)


def translate_thresholded(step: Step) -> Value:
    if step.attributes.get("alpha", 1.0) != 0:
        raise step.refuse("its threshold is not 0")
    return step.build.add("thresholded", step.node())


# The bound method: CROWN on both halves of a box, of which the worse bound counts.


def halves(problem: Problem, rows: DenseRows, options: MethodOptions) -> RowBounds:
    """Every box is cut in the middle of its widest input."""
    box = problem.region.interval
    middle = (box.lower + box.upper) / 2
    widest = (box.upper - box.lower).flatten(1).argmax(1, keepdim=True)
    cut = torch.zeros_like(box.lower, dtype=torch.bool).flatten(1).scatter(1, widest, True)
    cut = cut.reshape(box.lower.shape)
    left = BoxRegion(box.lower, torch.where(cut, middle, box.upper))
    right = BoxRegion(torch.where(cut, middle, box.lower), box.upper)
    found = [crown(replace(problem, region=half), rows)[0] for half in (left, right)]
    return RowBounds(torch.minimum(*found), None)


HALVES = BoundMethod("halves", halves)

# The heuristic: split the neuron whose bounds lie furthest apart.


def widths(neurons: Neurons, domains: Domains, bounded: BoundedDomains, box: Interval) -> Tensor:
    points = neurons.split_points
    free = (domains.splits == 0) & (box.lower < points) & (box.upper > points)
    return torch.where(free, box.upper - box.lower, -torch.inf)


WIDEST = Heuristic("widest", widths)


@pytest.fixture
def plugins() -> Iterator[None]:
    register(THRESHOLDED)
    # Its own translation gives way to the one of this file.
    own = TRANSLATIONS.pop("ThresholdedRelu")
    translates("ThresholdedRelu")(translate_thresholded)
    methods.register(HALVES)
    heuristics.register(WIDEST)
    yield
    heuristics.remove(WIDEST)
    methods.remove(HALVES)
    RULES.remove(THRESHOLDED)
    TRANSLATIONS["ThresholdedRelu"] = own


def read(activation: NodeProto, first: Layer, second: Layer) -> Graph:
    """The network x → Gemm → activation → Gemm → y of an ONNX model."""
    names, arrays = ("w1", "b1", "w2", "b2"), (*first, *second)
    model = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["z"], transB=1),
            activation,
            helper.make_node("Gemm", ["a", "w2", "b2"], ["y"], transB=1),
        ],
        "f",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2))],
        [numpy_helper.from_array(a, name) for a, name in zip(arrays, names, strict=True)],
    )
    opset = [helper.make_opsetid("", 13)]
    return loads(helper.make_model(model, opset_imports=opset, ir_version=8).SerializeToString())


def network(seed: int) -> tuple[Graph, Box, float]:
    """A network with the operator, a box, and the exact minimum of `y₀ − y₁` there: that of the
    network with ReLUs in its place."""
    rng = np.random.default_rng(seed)
    first, second = (
        (rng.normal(size=(out, wide)).astype("f4"), rng.normal(size=out).astype("f4"))
        for wide, out in ((2, 6), (6, 2))
    )
    graph = read(helper.make_node("ThresholdedRelu", ["z"], ["a"], alpha=0.0), first, second)
    likeness = read(helper.make_node("Relu", ["z"], ["a"]), first, second)
    box = Box(-np.ones(2), np.ones(2))
    return graph, box, exact_minimum(likeness, np.array([1.0, -1.0]), box.lower, box.upper)


def below(box: Box, bound: float) -> Property:
    """Can `y₀ − y₁ ≤ bound` hold on the box?"""
    return Property((Case(box, (Clause((Atom((), ((0, 1.0), (1, -1.0)), bound),)),)),), 2, 2)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("branching", ["widest", "fsb"])
def test_an_added_operator_and_heuristic_decide_what_enumeration_decides(
    seed: int, branching: str
) -> None:
    graph, box, least = network(seed)
    options = {"branching": branching, "levels": 1, "timeout": 20}
    proved = verify(graph, below(box, least - 1e-3), restarts=0, **options)
    assert proved.verdict.word == "unsat"
    assert "branch" in proved.seconds
    assert verify(graph, below(box, least + 1e-3), **options).verdict.word == "sat"


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("method", ["ibp", "crown-ibp", "crown", "alpha-crown", "halves"])
def test_every_method_bounds_an_added_operator_from_below(method: str) -> None:
    for seed in range(4):
        graph, box, least = network(seed)
        found = bounds(graph, box, method=method, rows=np.array([[1.0, -1.0]]))
        assert found.lower[0] <= least <= found.upper[0]
        assert found.method == method


@pytest.mark.usefixtures("plugins")
def test_an_added_method_proves_what_its_bound_proves_and_no_more() -> None:
    for seed in range(4):
        graph, box, _ = network(seed)
        found = bounds(graph, box, method="halves", rows=np.array([[1.0, -1.0]]))
        for bound, word in ((found.lower[0] - 1e-2, "unsat"), (found.lower[0] + 1e-2, "unknown")):
            result = verify(graph, below(box, bound), method="halves", restarts=0)
            assert result.verdict.word == word


@pytest.mark.usefixtures("plugins")
def test_a_second_entry_of_one_name_is_refused() -> None:
    for again in (HALVES, BoundMethod("auto", halves)):
        with pytest.raises(ValueError, match=f"the name '{again.name}' of a bound method is taken"):
            methods.register(again)
    for other in (WIDEST, Heuristic("auto", widths), Heuristic("input", widths)):
        with pytest.raises(ValueError, match=f"the name '{other.name}' of a heuristic is taken"):
            heuristics.register(other)


@pytest.mark.parametrize("option", [{"method": "halves"}, {"branching": "widest"}])
def test_the_name_of_what_is_not_registered_is_refused(option: dict[str, str]) -> None:
    with pytest.raises(BoundmeshError, match=r"expected auto .*"):
        with_options(Settings(), **option)


def test_the_command_line_offers_every_entry_of_the_tables() -> None:
    assert get_args(OutputMethod) == tuple(methods.METHODS)
    assert {*get_args(Branching)} == {*heuristics.OF_NO_HEURISTIC, *heuristics.BRANCHING}
