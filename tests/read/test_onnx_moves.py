"""Random chains of operators that only move elements."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import NodeProto, helper, numpy_helper

from boundmesh.graph.forward import forward
from boundmesh.read.onnx import loads
from boundmesh.read.runtime import Runtime


@st.composite
def factored(draw, size: int) -> tuple[int, ...]:
    """A shape of `size` elements."""
    shape: list[int] = []
    while size > 1 and len(shape) < 4:
        divisor = draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
        shape.append(divisor)
        size //= divisor
    return (*shape, size)


@st.composite
def chains(draw) -> tuple[tuple[int, ...], list[NodeProto], dict[str, np.ndarray]]:
    """An input shape and nodes, each a random reshape, transpose, slice or gather of the last."""
    start = shape = draw(factored(draw(st.sampled_from([6, 12, 24, 30]))))
    nodes, constants = [], {}
    for place in range(draw(st.integers(1, 6))):
        before, after = f"v{place}", f"v{place + 1}"
        kind = draw(st.sampled_from(["Reshape", "Transpose", "Slice", "Gather"]))
        axis = draw(st.integers(0, len(shape) - 1))
        if kind == "Reshape":
            shape = draw(factored(math.prod(shape)))
            constants[f"c{place}"] = np.array(shape)
            nodes.append(helper.make_node(kind, [before, f"c{place}"], [after]))
        elif kind == "Transpose":
            perm = draw(st.permutations(range(len(shape))))
            shape = tuple(shape[old] for old in perm)
            nodes.append(helper.make_node(kind, [before], [after], perm=perm))
        elif kind == "Slice":
            first = draw(st.integers(0, shape[axis] - 1))
            by = draw(st.integers(1, 3))
            bounds = {"s": first, "e": shape[axis], "a": axis, "b": by}
            if draw(st.booleans()):
                bounds = {"s": first, "e": -shape[axis] - 1, "a": axis, "b": -by}
            names = [f"{letter}{place}" for letter in bounds]
            constants |= {
                name: np.array([n]) for name, n in zip(names, bounds.values(), strict=True)
            }
            length = len(range(shape[axis])[bounds["s"] : bounds["e"] : bounds["b"]])
            shape = (*shape[:axis], length, *shape[axis + 1 :])
            nodes.append(helper.make_node(kind, [before, *names], [after]))
        else:
            index = draw(st.lists(st.integers(-shape[axis], shape[axis] - 1), min_size=1,
                                  max_size=5))  # fmt: skip
            constants[f"i{place}"] = np.array(index)
            shape = (*shape[:axis], len(index), *shape[axis + 1 :])
            nodes.append(helper.make_node(kind, [before, f"i{place}"], [after], axis=axis))
    return start, nodes, constants


@settings(max_examples=150)
@given(chains())
def test_chains_of_moves_put_every_element_where_onnx_runtime_puts_it(chain):
    shape, nodes, constants = chain
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "moves",
        [info("v0", 1, shape)],
        [info(f"v{len(nodes)}", 1, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    read = loads(model.SerializeToString())
    elements = np.arange(math.prod(shape), dtype=np.float32)
    mine = forward(read, {}, torch.from_numpy(elements).reshape(1, *shape))
    assert mine.flatten().tolist() == Runtime(read)(elements).tolist()
