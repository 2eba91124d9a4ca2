"""Rewrites keep the function and do what they are named after."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from boundmesh.graph.build import Builder
from boundmesh.graph.check import check
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph, Port
from boundmesh.graph.passes import PASSES, simplify
from boundmesh.graph.passes.drop_dead import drop_dead
from boundmesh.graph.passes.drop_identities import drop_identities
from boundmesh.graph.passes.fold_affine import fold_affine
from boundmesh.graph.passes.merge_reshapes import merge_reshapes
from boundmesh.operators.node import Node

PORTS = (Port("x", (1, 2, 3)),)


def ended(build: Builder, y: Node) -> Graph:
    return build.graph(y, PORTS, (Port("y", y.shape),))


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def outputs(graph: Graph, x: torch.Tensor) -> torch.Tensor:
    return forward(graph, tensors(graph, torch.float64), x).flatten(1)


def assert_same(before: Graph, after: Graph) -> None:
    check(after)
    torch.manual_seed(0)
    x = torch.randn(5, *before[before.input].shape, dtype=torch.float64)
    assert torch.allclose(outputs(before, x), outputs(after, x), rtol=1e-6, atol=1e-6)


@st.composite
def graphs(draw) -> Graph:
    """A random chain with branches, of the operators that the rewrites look at."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    build = Builder()
    values = [build.input((1, 2, 3))]
    for _ in range(draw(st.integers(1, 9))):
        x = draw(st.sampled_from(values[-2:]))
        kind = draw(st.sampled_from(["relu", "linear", "scale", "shift", "transpose", "reshape",
                                     "add", "slice", "identity"]))  # fmt: skip
        if kind == "relu":
            values.append(build.add("relu", x))
        elif kind == "linear":
            values.append(build.add("linear", x, weights=(random.normal(size=(3, x.shape[-1])),)))
        elif kind in ("scale", "shift"):
            shape = draw(st.sampled_from([x.shape, x.shape[-1:], (1,), ()]))
            values.append(build.add(kind, x, weights=(random.normal(size=shape),)))
        elif kind == "transpose":
            perm = draw(st.permutations(range(len(x.shape))))
            values.append(build.add("transpose", x, perm=tuple(perm)))
        elif kind == "reshape":
            shape = draw(st.sampled_from([(x.size,), (1, x.size), (*x.shape, 1), x.shape]))
            values.append(build.add("reshape", x, shape=shape))
        elif kind == "add":
            values.append(build.add("add", x, x))
        elif kind == "slice":
            values.append(build.add("slice", x, ranges=tuple((0, n, 1) for n in x.shape)))
        else:
            values.append(build.add("scale", x, weights=(np.ones(1),)))
    return ended(build, values[-1])


@given(graphs())
def test_rewrites_keep_the_function(graph):
    for rewrite in (*PASSES, simplify):
        assert_same(graph, rewrite(graph))


@given(graphs())
def test_every_relu_that_the_output_needs_stays_a_relu(graph):
    needed = [node for node in graph.ancestors(graph.output) if node.op == "relu"]
    assert [node.name for node in simplify(graph).nodes if node.op == "relu"] == [
        node.name for node in needed
    ]


def test_dead_nodes_and_their_weights_go():
    build = Builder()
    x = build.input((1, 2, 3))
    y = build.add("relu", x)
    build.add("linear", x, weights=(np.ones((3, 3)),))
    graph = drop_dead(ended(build, y))
    assert ops(graph) == ["input", "relu"] and not graph.weights


def test_an_input_that_nothing_reads_stays():
    build = Builder()
    build.input((1, 2, 3))
    graph = drop_dead(ended(build, build.add("constant", weights=(np.ones(2),))))
    assert ops(graph) == ["input", "constant"]


def test_identities_go_even_at_the_output():
    build = Builder()
    x = build.add("relu", build.input((1, 2, 3)))
    x = build.add("transpose", x, perm=(0, 1, 2))
    x = build.add("gather", x, axis=2, index=(0, 1, 2))
    x = build.add("pad", x, padding=((0, 0),) * 3, value=1.0)
    x = build.add("concat", x, axis=0)
    x = build.add("shift", x, weights=(np.zeros(3),))
    graph = ended(build, x)
    assert ops(drop_identities(graph)) == ["input", "relu"]
    assert_same(graph, drop_identities(graph))


def test_what_changes_the_value_is_no_identity():
    build = Builder()
    x = build.input((1, 3, 3))
    x = build.add("transpose", x, perm=(0, 2, 1))
    x = build.add("gather", x, axis=2, index=(0, 2, 1))
    x = build.add("pad", x, padding=((0, 0), (0, 0), (1, 0)), value=0.0)
    x = build.add("shift", x, weights=(np.array([0, 0, 0, 1.0]),))
    assert len(drop_identities(ended(build, x)).nodes) == 5


def test_reshapes_and_transposes_in_a_row_become_one():
    build = Builder()
    x = build.input((1, 2, 3))
    x = build.add("reshape", x, shape=(6,))
    x = build.add("reshape", x, shape=(3, 2))
    x = build.add("transpose", x, perm=(1, 0))
    x = build.add("transpose", x, perm=(1, 0))
    graph = ended(build, x)
    assert ops(simplify(graph)) == ["input", "reshape"]
    assert_same(graph, simplify(graph))


def test_a_transpose_of_axes_of_length_one_is_a_reshape():
    build = Builder()
    x = build.add("transpose", build.input((1, 2, 3)), perm=(1, 2, 0))
    graph = ended(build, x)
    assert ops(merge_reshapes(graph)) == ["input", "reshape"]
    assert_same(graph, merge_reshapes(graph))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("op", ["conv", "conv_transpose"])
def test_scale_and_shift_per_channel_fold_into_convolutions(op, groups):
    build = Builder()
    x = build.input((1, 4, 3, 3))
    shape = (6, 4 // groups, 2, 2) if op == "conv" else (4, 6 // groups, 2, 2)
    random = np.random.default_rng(0)
    settings = {"stride": (1, 1), "dilation": (1, 1), "padding": ((0, 0),) * 2, "groups": groups}
    if op == "conv_transpose":
        settings["output_padding"] = (0, 0)
    y = build.add(op, x, weights=(random.normal(size=shape), random.normal(size=6)), **settings)
    y = build.add("scale", y, weights=(random.normal(size=(6, 1, 1)),))
    y = build.add("shift", y, weights=(random.normal(size=(1, 6, 1, 1)),))
    graph = ended(build, y)
    folded = fold_affine(graph)
    # The output channels of a grouped transposed convolution lie along no axis of its weight.
    apart = op == "conv_transpose" and groups == 2
    assert ops(folded) == ["input", op, *(["scale", "shift"] if apart else [])]
    assert folded.output == graph.output
    assert_same(graph, folded)


def test_a_layer_that_others_read_is_not_folded():
    build = Builder()
    hidden = build.add("linear", build.input((1, 2, 3)), weights=(np.ones((3, 3)),))
    y = build.add("add", build.add("scale", hidden, weights=(np.full(3, 2.0),)), hidden)
    assert ops(fold_affine(ended(build, y))) == ["input", "linear", "scale", "add"]


def test_a_constant_that_differs_within_a_feature_is_not_folded():
    build = Builder()
    hidden = build.add("linear", build.input((1, 2, 3)), weights=(np.ones((3, 3)),))
    y = build.add("shift", hidden, weights=(np.arange(6.0).reshape(2, 3),))
    assert ops(fold_affine(ended(build, y))) == ["input", "linear", "shift"]


def test_a_folded_bias_keeps_its_name_and_a_folded_weight_its_type():
    build = Builder()
    layer = build.add("linear", build.input((3,)), weights=(np.ones((3, 3), np.float32),))
    bias = np.arange(3, dtype=np.float32)
    y = build.add("shift", layer, weights=(bias,))
    graph = fold_affine(ended(build, build.add("scale", y, weights=(np.array(2.0),))))
    assert ops(graph) == ["input", "linear"]
    assert {graph.weights[name].dtype for name in graph[graph.output].weights} == {
        np.dtype(np.float32)
    }
