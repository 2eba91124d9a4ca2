"""Evaluating a Graph by the forward rules of its operators."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES


def tensor(array: np.ndarray) -> Tensor:
    """The array as a tensor over the same memory, which nobody may write to."""
    with warnings.catch_warnings():
        # Weights are often read-only views of a file, which is all that torch warns of.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def tensors(
    graph: Graph, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """The graph's weights as tensors; without a copy where dtype and device are already right."""
    return {name: tensor(array).to(device, dtype) for name, array in graph.weights.items()}


class AsNeeded(Mapping[str, Tensor]):
    """A graph's weights in one dtype, each made when asked for and held by nobody."""

    def __init__(self, graph: Graph, dtype: torch.dtype) -> None:
        self._arrays, self._dtype = graph.weights, dtype

    def __getitem__(self, name: str) -> Tensor:
        return tensor(self._arrays[name]).to(self._dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def forward(graph: Graph, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The output `[N, *shape]` at x `[N, *input_shape]`; values are freed after their last use."""
    return _evaluate(graph, weights, x, keep=False)[graph.output].expand(
        x.shape[0], *graph[graph.output].shape
    )


def values(graph: Graph, weights: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """The value `[N or 1, *shape]` of every node at x `[N, *input_shape]`; 1 for constants."""
    return _evaluate(graph, weights, x, keep=True)


def _evaluate(
    graph: Graph, weights: Mapping[str, Tensor], x: Tensor, keep: bool
) -> dict[str, Tensor]:
    last = {name: node.name for node in graph.nodes for name in node.inputs}
    last[graph.output] = ""
    found = {graph.input: x.reshape(-1, *graph[graph.input].shape)}
    for node in graph.nodes:
        if node.is_input:
            continue
        operands = (found[name] for name in node.inputs)
        held = [weights[name] for name in node.weights]
        found[node.name] = RULES[node.op].forward(node, held, *operands)
        if not keep:
            for name in set(node.inputs):
                if last[name] == node.name:
                    del found[name]
    return found


def multiplications(graph: Graph) -> int:
    """About how many multiplications a forward pass of one point takes."""
    total = 1
    for node in graph.nodes:
        shape = graph.weights[node.weights[0]].shape if node.weights else ()
        total += node.size * math.prod(shape[1:])
    return total
