"""Domains whose proof float32's rounding hides are bounded again in float64."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import boundmesh
from boundmesh.graph.graph import Graph
from boundmesh.property import Atom, Box, Case, Clause, Property
from boundmesh.read.onnx import loads


def hidden_by(large: float) -> Graph:
    """`relu(x + g) − g` with `g = large·relu(x)`: it is x for x ≥ 0. float32 rounds at `large`."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1]) for name in "xy")
    nodes = [
        helper.make_node("Relu", ["x"], ["positive"]),
        helper.make_node("Mul", ["positive", "large"], ["g"]),
        helper.make_node("Add", ["x", "g"], ["both"]),
        helper.make_node("Relu", ["both"], ["kept"]),
        helper.make_node("Sub", ["kept", "g"], ["y"]),
    ]
    constant = numpy_helper.from_array(np.array([large], np.float32), "large")
    graph = helper.make_graph(nodes, "hidden", [x], [y], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return loads(model.SerializeToString())


@pytest.mark.parametrize("branching", ["input", "babsr"])
def test_what_rounding_hides_is_proved_without_many_splits(branching: str) -> None:
    clause = Clause((Atom((), ((0, 1.0),), 0.399),))
    wanted = Property((Case(Box([0.4], [0.6]), (clause,)),), 1, 1)
    options = {"rounding": "real", "branching": branching, "timeout": 20.0, "restarts": 0}
    assert boundmesh.verify(hidden_by(2.0**14), wanted, **options).verdict.word == "unsat"
