"""Recognises the weights of a graph as numbers of a module's parameters, and reads them there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from boundmesh.errors import UnsupportedError
from boundmesh.graph.graph import Graph
from boundmesh.training.tagged import Source

View = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Live:
    """A weight whose numbers stand in parameters.

    sources  the places of the parameters among all sources
    view     computes the weight from the parameter, or from several that are flat and joined
    """

    sources: tuple[int, ...]
    view: View


@dataclass(frozen=True)
class LiveWeights:
    """The weights of a graph, some of them in the parameters of a module.

    sources    the tensors that the module's parameters give
    live       the weights that stand in them, by name
    constants  all others, by name
    """

    sources: tuple[Source, ...]
    live: Mapping[str, Live]
    constants: Mapping[str, np.ndarray]

    def of(self, module: nn.Module, like: Tensor) -> dict[str, Tensor]:
        """Return all weights by name, with gradients to the module's parameters.

        Dtype and device are those of `like`.
        """
        wanted = {place for live_weight in self.live.values() for place in live_weight.sources}
        read = {place: self.sources[place].read(module) for place in wanted}
        weights = {
            name: torch.tensor(array, dtype=like.dtype, device=like.device)
            for name, array in self.constants.items()
        }
        for name, live_weight in self.live.items():
            parts = [read[place] for place in live_weight.sources]
            whole = parts[0] if len(parts) == 1 else torch.cat([part.flatten() for part in parts])
            weights[name] = live_weight.view(whole).to(like.device, like.dtype)
        return weights


def recognise(
    sources: tuple[Source, ...], graphs: Sequence[Graph], tags: Sequence[np.ndarray]
) -> LiveWeights:
    """Find the weights of a graph among tags, given exports of one module with different tags.

    Raises UnsupportedError where a weight, an attribute or the form of the graph was computed from
    parameters.
    """
    first, second = graphs
    _same_form(first, second)
    live, constants = {}, {}
    for name, array in first.weights.items():
        match = second.weights[name]
        if np.array_equal(array, match):
            constants[name] = array
            continue
        places = _places(array, tags[0])
        if (places < 0).any() or not np.array_equal(places, _places(match, tags[1])):
            reader = next(node for node in first.nodes if name in node.weights)
            raise UnsupportedError(
                f"a weight of node '{reader.name}' ({reader.op}) is computed from parameters, and "
                "the export does not tell how; register the computation as a parametrization "
                "(torch.nn.utils.parametrize), or keep its result in a parameter"
            )
        live[name] = _live(places, sources)
    return LiveWeights(sources, live, constants)


def _same_form(first: Graph, second: Graph) -> None:
    for one, other in zip(first.nodes, second.nodes, strict=False):
        same = one.name == other.name and one.op == other.op and one.inputs == other.inputs
        if not same or not _equal(one.attributes, other.attributes):
            raise UnsupportedError(
                f"node '{one.name}' ({one.op}) depends on parameters in another way than by its "
                "weights, so bounds have no gradients there"
            )
    if len(first.nodes) != len(second.nodes) or first.weights.keys() != second.weights.keys():
        raise UnsupportedError("the form of the network depends on the values of its parameters")


def _equal(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    if one.keys() != other.keys():
        return False
    return all(np.array_equal(np.asarray(one[key]), np.asarray(other[key])) for key in one)


def _places(array: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Return the place of each number among the tags, −1 where it is none."""
    order = np.argsort(tags)
    ranks = np.searchsorted(tags, array, sorter=order).clip(max=len(tags) - 1)
    places: np.ndarray = order[ranks]
    return np.where(tags[places] == array, places, -1)


def _live(places: np.ndarray, sources: tuple[Source, ...]) -> Live:
    sizes = [source.shape.numel() for source in sources]
    ends = np.cumsum(sizes)
    owners = np.searchsorted(ends, places, side="right")
    used = tuple(np.unique(owners).tolist())
    shift = np.zeros(len(sources), np.int64)
    begin = 0
    for place in used:
        shift[place] = begin - (ends[place] - sizes[place])
        begin += sizes[place]
    return Live(used, _view(places + shift[owners], begin))


def _view(index: np.ndarray, size: int) -> View:
    """Return a function that selects `index` of a tensor's numbers, without a copy if it can."""
    shape = index.shape
    if math.prod(shape) == size:
        order = np.arange(size)
        if np.array_equal(index.ravel(), order):
            return lambda x: x.reshape(shape)
        if index.ndim == 2 and np.array_equal(index.T.ravel(), order):
            return lambda x: x.reshape(shape[::-1]).mT
    held = torch.from_numpy(np.ascontiguousarray(index))
    return lambda x: x.flatten()[held.to(x.device)]
