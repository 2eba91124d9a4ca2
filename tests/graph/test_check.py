"""What makes a Graph malformed, and when it differs from its source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper

from boundmesh.errors import ReadError, UnsupportedError
from boundmesh.graph.check import agrees_with_source, check, sample
from boundmesh.graph.graph import Graph, Port
from boundmesh.property import Box
from boundmesh.read.onnx import loads

BOX = Box(np.full(4, -1.0), np.full(4, 1.0))


def network(*extra, dtype: int = 1) -> Graph:
    """x → W x → relu → V · + c → y, and what `extra` makes of it."""
    random = np.random.default_rng(0)
    shapes = {"w": (4, 5), "v": (5, 3), "c": (3,)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["p"]),
        helper.make_node("Add", ["p", "c"], ["s"]),
        *(extra or [helper.make_node("Identity", ["s"], ["y"])]),
    ]
    info = helper.make_tensor_value_info
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    constants = [
        numpy_helper.from_array(random.normal(size=shape).astype(kind), name)
        for name, shape in shapes.items()
    ]
    graph = helper.make_graph(
        nodes, "g", [info("x", dtype, [1, 4])], [info("y", dtype, None)], constants
    )
    opset = [helper.make_opsetid("", 17)]
    return loads(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def changed(graph: Graph, place: str, **fields) -> Graph:
    nodes = [replace(node, **fields) if node.name == place else node for node in graph.nodes]
    return replace(graph, nodes=tuple(nodes))


def test_a_graph_as_read_is_well_formed():
    check(network())


@pytest.mark.parametrize(
    ("place", "fields", "message"),
    [
        ("r", {"inputs": ("s",)}, "reads 's' before it is made"),
        ("r", {"inputs": ("nowhere",)}, "reads 'nowhere' before"),
        ("r", {"shape": (2, 5)}, r"gives \(1, 5\) and declares \(2, 5\)"),
        ("r", {"input_shapes": ((5,),)}, r"takes 'h' as \(5,\), which is \(1, 5\)"),
        ("r", {"name": "h"}, "two nodes are named 'h'"),
        ("r", {"op": "input", "inputs": ()}, "second input"),
        ("h", {"weights": ("lost",)}, "needs the weight 'lost'"),
    ],
)
def test_malformed_graphs_are_refused_by_node(place, fields, message):
    with pytest.raises(ValueError, match=message):
        check(changed(network(), place, **fields))


def test_a_missing_output_is_refused():
    with pytest.raises(ValueError, match="no node 'gone'"):
        check(replace(network(), output="gone"))


def test_operators_without_rules_are_refused_by_node():
    with pytest.raises(UnsupportedError, match=r"'erf' \(node 'r'\)"):
        check(changed(network(), "r", op="erf"))


def test_a_graph_agrees_with_its_source():
    agrees_with_source(network(), BOX)


def test_float16_and_float64_networks_agree_within_their_own_rounding():
    agrees_with_source(network(dtype=10), BOX)
    agrees_with_source(network(dtype=11), BOX)


def test_a_difference_is_refused_with_the_first_value_that_shows_it():
    graph = network()
    weights = dict(graph.weights)
    weights["w"] = weights["w"] * 1.001
    with pytest.raises(ReadError, match=r"first at 'h' \(operator 'linear'\)"):
        agrees_with_source(replace(graph, weights=weights), BOX)
    with pytest.raises(ReadError, match=r"first at 'r' \(operator 'abs'\)"):
        agrees_with_source(changed(graph, "r", op="abs"), BOX)


def test_a_float64_network_is_held_to_float64():
    graph = network(dtype=11)
    weights = dict(graph.weights)
    weights["w"] = weights["w"] * (1 + 1e-9)
    with pytest.raises(ReadError, match="differs from ONNX Runtime"):
        agrees_with_source(replace(graph, weights=weights), BOX)


def test_an_output_that_is_nan_is_refused():
    graph = network(helper.make_node("Sqrt", ["s"], ["y"]))
    with pytest.raises(ReadError, match="NaN"):
        agrees_with_source(graph, BOX)


def test_a_network_that_drowns_in_float32_is_refused_unless_bounds_are_in_float64():
    large = helper.make_node("Constant", [], ["large"], value_float=1e9)
    plus = helper.make_node("Add", ["r", "large"], ["q"])
    relu = helper.make_node("Relu", ["q"], ["u"])
    graph = network(large, plus, relu, helper.make_node("Sub", ["u", "large"], ["y"]))
    with pytest.raises(ReadError, match="use float64"):
        agrees_with_source(graph, BOX)
    agrees_with_source(graph, BOX, dtype=torch.float64)


def test_a_graph_without_a_source_has_nothing_to_agree_with():
    agrees_with_source(replace(network(), source=None), BOX)


def test_sampled_points_lie_in_the_box_as_numbers_of_the_inputs_types():
    graph = network()
    points = sample(graph, BOX, seed=3)
    assert (points == points.astype(np.float32)).all()
    assert (np.abs(points) <= 1).all()
    assert (points[0] == 0).all()
    mixed = replace(graph, inputs=(Port("a", (2,)), Port("b", (2,), "float16")))
    points = sample(mixed, BOX, seed=3)
    assert (points[:, 2:] == points[:, 2:].astype(np.float16)).all()
    assert (points[:, :2] != points[:, :2].astype(np.float16)).any()
