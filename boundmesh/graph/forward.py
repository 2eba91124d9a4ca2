"""Evaluates a Graph with the forward rules of its operators."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.operators.node import Node


def tensor(array: np.ndarray) -> Tensor:
    """Return the array as a tensor over the same memory. Callers must not write to it."""
    with warnings.catch_warnings():
        # Weights are often read-only views of a file. torch warns of that, and of nothing else.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def tensors(
    graph: Graph, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Return the graph's weights as tensors, without a copy where dtype and device agree."""
    return {name: tensor(array).to(device, dtype) for name, array in graph.weights.items()}


class AsNeeded(Mapping[str, Tensor]):
    """The weights of a graph in one dtype. Each access converts a weight and stores nothing."""

    def __init__(self, graph: Graph, dtype: torch.dtype) -> None:
        self._arrays, self._dtype = graph.weights, dtype

    def __getitem__(self, name: str) -> Tensor:
        return tensor(self._arrays[name]).to(self._dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def forward(
    graph: Graph,
    weights: Mapping[str, Tensor],
    x: Tensor,
    widths: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Return the output `[N, *shape]` at x `[N, *input_shape]`.

    Each value is freed after its last use. A node that jumps and that `widths` names has the
    gradient of its smoothed function with that width; its value is exact all the same.
    """
    return _evaluate(graph, weights, x, keep=False, widths=widths)[graph.output].expand(
        x.shape[0], *graph[graph.output].shape
    )


def values(graph: Graph, weights: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Return the value `[N or 1, *shape]` of every node at x `[N, *input_shape]`.

    Values that do not depend on x have a first dim of 1.
    """
    return _evaluate(graph, weights, x, keep=True)


def _evaluate(
    graph: Graph,
    weights: Mapping[str, Tensor],
    x: Tensor,
    keep: bool,
    widths: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    last = {name: node.name for node in graph.nodes for name in node.inputs}
    last[graph.output] = ""
    values = {graph.input: x.reshape(-1, *graph[graph.input].shape)}
    for node in graph.nodes:
        if node.is_input:
            continue
        operands = [values[name] for name in node.inputs]
        own_weights = [weights[name] for name in node.weights]
        value = RULES[node.op].forward(node, own_weights, *operands)
        if widths is not None and node.name in widths:
            value = _with_slope(node, value, operands[0], widths[node.name])
        values[node.name] = value
        del operands, value
        if not keep:
            for name in set(node.inputs):
                if last[name] == node.name:
                    del values[name]
    return values


def _with_slope(node: Node, value: Tensor, x: Tensor, width: Tensor) -> Tensor:
    """Return the value of a node that jumps, with the gradient of its smoothed function at x."""
    rule = RULES[node.op].smoothed
    assert rule is not None, f"'{node.op}' is not smoothed"
    smooth = rule(node, x, width)
    return value.detach() + (smooth - smooth.detach())


def multiplications(graph: Graph) -> int:
    """Return an estimate of the multiplications in a forward pass of one point."""
    total = 1
    for node in graph.nodes:
        shape = graph.weights[node.weights[0]].shape if node.weights else ()
        total += node.size * math.prod(shape[1:])
    return total
