"""Graphs under construction."""

from __future__ import annotations

import numpy as np
import pytest

from boundmesh.errors import UnsupportedError
from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.graph import Port

WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_shapes_follow_from_the_forward_rules():
    build = Builder()
    x = build.input((1, 2, 4))
    assert build.add("linear", x, weights=(WEIGHT,)).shape == (1, 2, 3)
    assert build.add("transpose", x, perm=(2, 0, 1)).shape == (4, 1, 2)
    assert build.add("sum", x, axes=(1, 2)).shape == (1, 1, 1)
    assert build.add("concat", x, x, axis=1).shape == (1, 4, 4)
    assert build.broadcast(build.reshape(x, (2, 4)), (5, 2, 4)).shape == (5, 2, 4)


def test_a_shape_that_does_not_fit_fails_at_once():
    build = Builder()
    with pytest.raises(RuntimeError):
        build.add("linear", build.input((1, 5)), weights=(WEIGHT,))


def test_names_come_from_the_value_and_are_unique():
    build = Builder(reserved=["v", "v:relu"])
    x = build.input((4,))
    build.scope = "v"
    first, second = build.add("relu", x), build.add("relu", x)
    assert (first.name, second.name) == ("v:relu:2", "v:relu:3")
    assert build.rename(second, "v").name == "v"
    assert build.nodes.keys() == {"input", "v:relu:2", "v"}


def test_a_node_that_is_read_or_has_a_value_s_name_keeps_it():
    build = Builder(reserved=["a", "b"])
    inner = build.add("relu", build.input((4,)))
    outer = build.rename(build.add("relu", inner), "a")
    assert build.rename(inner, "b") == inner
    assert build.rename(outer, "b") == outer


def test_an_array_is_held_once_and_different_arrays_apart():
    build = Builder()
    x = build.input((4,))
    one = build.add("linear", x, weights=(Constant("w", WEIGHT),))
    same = build.add("linear", x, weights=(Constant("w", WEIGHT),))
    other = build.add("linear", x, weights=(Constant("w", WEIGHT.copy()),))
    assert one.weights == same.weights == ("w",) and other.weights == ("w:2",)
    assert build.weights["w"] is WEIGHT


def test_operators_without_rules_are_refused_by_name():
    build = Builder()
    build.scope = "value_7"
    with pytest.raises(UnsupportedError, match=r"'lambert' \(value 'value_7'\) has no rules"):
        build.add("lambert", build.input((4,)))


def test_the_graph_has_the_ends_it_was_given():
    build = Builder()
    y = build.add("relu", build.input((4,), "x"))
    graph = build.graph(y, (Port("x", (4,)),), (Port("y", (4,)),), b"source")
    assert (graph.input, graph.output, graph.source) == ("x", y.name, b"source")
    assert graph.consumers["x"] == (y.name,)
