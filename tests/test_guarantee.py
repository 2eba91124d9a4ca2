"""Which arithmetic a verdict holds in."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from onnx import TensorProto, helper

import boundmesh
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.errors import UnsupportedError
from boundmesh.graph.graph import Graph
from boundmesh.operators.rounding import UNITS
from boundmesh.proof.guarantee import arithmetic, needs_real, rounding_for
from boundmesh.property import Box, Property, Variable
from boundmesh.read.onnx import loads
from boundmesh.settings import Settings


def network(op: str, element_type: int = TensorProto.FLOAT) -> Graph:
    """One operator of one operand."""
    x, y = (helper.make_tensor_value_info(name, element_type, [1, 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "net", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return loads(model.SerializeToString())


def declared(*types: str) -> Property:
    """A property of one variable for each type."""
    variables = tuple(Variable(f"v{n}", "input", (1,), each) for n, each in enumerate(types))
    return Property((), 3, 3, variables)


def test_auto_is_real_whatever_the_network_runs_in() -> None:
    for element_type in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE):
        assert arithmetic(network("Relu", element_type), Settings()) == "real"
    assert arithmetic(network("Softmax"), Settings()) == "real"


def test_a_counterexample_must_hold_in_real_arithmetic_where_no_other_is_named() -> None:
    assert not needs_real(Settings(), declared(""))
    assert needs_real(Settings(), declared("Real"))
    assert needs_real(Settings(rounding="real"), declared("float32"))
    assert not needs_real(Settings(rounding="real+float32"), declared("Real"))


def test_element_types_choose_the_arithmetic_under_auto() -> None:
    graph = network("Relu")
    assert arithmetic(graph, Settings(), declared("Real")) == "real"
    assert arithmetic(graph, Settings(), declared("Real", "float32")) == "float32"
    assert arithmetic(graph, Settings(), declared("")) == "real"
    assert arithmetic(graph, Settings(rounding="float16"), declared("Real")) == "float16"


def test_the_coarsest_of_several_arithmetics_stands_for_all() -> None:
    assert arithmetic(network("Relu"), Settings(rounding="real+float32+bfloat16")) == "bfloat16"
    assert arithmetic(network("Relu"), Settings(rounding="real")) == "real"
    assert arithmetic(network("Relu"), Settings(rounding="trust")) == "trust"


def test_a_precision_is_refused_where_an_operators_rounding_is_not_known() -> None:
    with pytest.raises(UnsupportedError, match="how Softmax rounds in float32 is not known"):
        arithmetic(network("Softmax"), Settings(rounding="float32"))


def test_trust_counts_no_rounding_and_real_none_of_the_network() -> None:
    graph = network("Relu")
    layout = OneDevice(graph)
    assert rounding_for(graph, Settings(rounding="trust"), layout) is None
    real = rounding_for(graph, Settings(rounding="real"), layout)
    coarse = rounding_for(graph, Settings(rounding="float16"), layout)
    assert real is not None and real.network == 0.0 and real.own == UNITS["float32"]
    assert coarse is not None and coarse.network == UNITS["float16"]


@pytest.mark.parametrize("method", ["ibp", "crown", "alpha-crown"])
def test_bounds_widen_from_trust_over_real_to_coarser_arithmetics(method: str) -> None:
    graph = boundmesh.load("examples/digits/mlp.onnx")
    box = Box.around(np.full(graph.inputs[0].shape, 0.5), 0.02)
    found = [
        boundmesh.bounds(replace(graph), box, method=method, rounding=word, iterations=2)
        for word in ("trust", "real", "float32", "float16")
    ]
    if method == "alpha-crown":
        # An optimiser may end elsewhere where bounds are wider.
        found = [found[1], found[3]]
    for narrow, wide in pairwise(found):
        assert (wide.lower < narrow.lower).all() and (wide.upper > narrow.upper).all()
