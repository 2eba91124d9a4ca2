"""Evaluating a Graph."""

from __future__ import annotations

import weakref

import numpy as np
import torch

from boundmesh.graph.build import Builder
from boundmesh.graph.forward import forward, tensor, tensors, values
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators import RULES
from boundmesh.operators.operator import Operator

WEIGHT = np.array([[1, -2], [0, 3], [4, 0]], np.float32)


def network() -> Graph:
    """`relu(W x) + relu(W x) + c` with a constant that no input reaches."""
    build = Builder()
    x = build.input((2,))
    hidden = build.add("relu", build.add("linear", x, weights=(WEIGHT,)))
    twice = build.add("add", hidden, hidden)
    constant = build.add("constant", weights=(np.array([1, 2, 3], np.float64),))
    y = build.add("add", twice, constant)
    return build.graph(y, (Port("x", (2,)),), (Port("y", (3,)),))


def test_forward_is_the_function_row_by_row():
    graph, x = network(), torch.randn(5, 2)
    expected = 2 * torch.relu(x @ torch.from_numpy(WEIGHT).T) + torch.tensor([1.0, 2, 3])
    assert torch.allclose(forward(graph, tensors(graph), x), expected)


def test_forward_runs_in_the_dtype_of_weights_and_input():
    graph = network()
    y = forward(graph, tensors(graph, torch.float64), torch.zeros(1, 2, dtype=torch.float64))
    assert y.dtype == torch.float64


def test_values_hold_every_node():
    graph = network()
    found = values(graph, tensors(graph), torch.randn(4, 2))
    assert found.keys() == {node.name for node in graph.nodes}
    for node in graph.nodes:
        assert found[node.name].shape[1:] == node.shape


def test_a_graph_that_is_its_input_or_a_constant_still_answers_for_every_row():
    build = Builder()
    x = build.input((2,))
    constant = build.add("constant", weights=(np.ones(3, np.float32),))
    port = (Port("x", (2,)),)
    graph = build.graph(constant, port, port)
    assert forward(build.graph(x, port, port), tensors(graph), torch.ones(4, 2)).shape == (4, 2)
    assert forward(graph, tensors(graph), torch.ones(4, 2)).shape == (4, 3)


def test_dead_values_are_freed(monkeypatch):
    """At no time are there more values than a chain of operators needs."""
    build = Builder()
    x = build.input((2,))
    for _ in range(6):
        x = build.add("relu", x)
    graph = build.graph(x, (Port("x", (2,)),), (Port("y", (2,)),))
    alive: list[int] = []
    made: list[weakref.ref] = []

    def counted(node, weights, value):
        alive.append(sum(reference() is not None for reference in made))
        result = value.clamp(min=0)
        made.append(weakref.ref(result))
        return result

    monkeypatch.setitem(RULES, "relu", Operator("relu", counted, RULES["relu"].interval))
    forward(graph, {}, torch.ones(1, 2))
    assert max(alive) == 1


def test_a_read_only_array_becomes_a_tensor_over_the_same_memory(recwarn):
    array = np.ones(3, np.float32)
    array.flags.writeable = False
    assert tensor(array).data_ptr() == array.__array_interface__["data"][0]
    assert not recwarn.list
