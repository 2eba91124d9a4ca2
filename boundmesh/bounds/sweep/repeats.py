"""Parts of a sweep that a GPU records once, and replays for all parts of one size.

The tiles of a convolution's neurons pass the same nodes one after the other, and start the same
small kernels. The host takes longer to start them than the GPU takes to run them. What a tile, or
a part of one, does from some node on is therefore recorded as a CUDA graph. Each further part
copies its rows to where the recorded kernels read them. The results have the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from boundmesh.bounds.sweep.parts import in_parts
from boundmesh.bounds.sweep.rows import Division, Tile
from boundmesh.kernels.imagined_gpu import imagined
from boundmesh.kernels.recorded import recorded
from boundmesh.operators.node import Node

LEAST_PARTS = 4
"""The fewest parts of a tile for which recording one of them takes less time than it saves."""

Change = Callable[[Tensor], Tensor]
"""A function of a tensor, such as `Tensor.clone`."""


class Movable(Protocol):
    """The state of a sweep whose tensors can be replaced by others of the same shapes."""

    def mapped(self: State, change: Change) -> State:
        """Return a copy in which `change` replaced every tensor, in a fixed order."""
        ...


State = TypeVar("State", bound=Movable)
Finish = Callable[[State, "Repeats | None"], list[Tensor]]
"""A function that pulls rows back to the input, and returns lower bounds `[D, S]` of each tile.

It records smaller parts of these rows if it gets `Repeats`."""


@dataclass(frozen=True)
class Recording:
    """A recorded part of a sweep.

    graph    the kernels
    inputs   the tensors that they read
    results  the tensors that they write
    """

    graph: torch.cuda.CUDAGraph
    inputs: Sequence[Tensor]
    results: Sequence[Tensor]

    def replay(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Compute the results for other inputs of the same shapes."""
        for mine, given in zip(self.inputs, inputs, strict=True):
            mine.copy_(given)
        self.graph.replay()
        return [each.clone() for each in self.results]


class Repeats:
    """The recordings of the sweep of one start node.

    The first part of a size runs as it is: it compiles kernels, and computes what all parts share,
    such as relaxations. The second is recorded.

    passes  how many nodes are passed from a node on by all parts together, for the nodes at which
            parts are recorded
    """

    def __init__(self, device: torch.device, passes: Mapping[str, int]) -> None:
        self._device, self.passes = device, passes
        self._known: dict[Hashable, Recording | None] = {}

    def finish(self, state: State, place: str, finish: Finish[State]) -> list[Tensor]:
        """Pull a part back to the input from the node named `place`."""
        inputs = tensors_of(state)
        if not all(each.numel() for each in inputs):
            return finish(state, None)
        gpu = imagined(self._device)
        if gpu is not None:
            copy = state.mapped(torch.clone)
            inputs = tensors_of(copy)  # recorded kernels would keep them
            with gpu.beside():
                return finish(copy, None)
        key = place, tuple(each.shape for each in inputs)
        if key not in self._known:
            self._known[key] = None
            return finish(state, self)
        recording = self._known[key]
        if recording is None:
            recording = _recording(state, finish, self._device)
            if recording is None:
                return finish(state, None)
            self._known[key] = recording
        return recording.replay(inputs)


def repeats_of(
    order: Sequence[Node], tiles: Sequence[Tile], device: torch.device, dealers: int = 1
) -> Repeats | None:
    """Return where parts of these tiles are recorded on their way; None if nowhere.

    The tiles are divided among `dealers` ranks. Rows of whole maps keep a GPU busy without
    recordings.
    """
    on_gpu = device.type == "cuda" or imagined(device) is not None
    if not on_gpu or not tiles or not tiles[0].windowed:
        return None
    found = worthwhile(order, tiles[0].divisions, -(-len(tiles) // dealers))
    return Repeats(device, found) if found else None


def worthwhile(
    order: Sequence[Node], divisions: Mapping[str, Division], times: int
) -> dict[str, int]:
    """Return the nodes from which on parts are recorded, and the passes of one part from there.

    The way of a tile is cut into stretches where it is divided. A stretch is passed `times` times.
    Recording it takes the time of two parts with all of their own parts, so it must save more.
    Inside a recorded part nothing is recorded but during the first run.
    """
    ends = [place for place, node in enumerate(order) if node.name in divisions]
    found = {}
    for first, last in pairwise([0, *ends, len(order)]):
        name = order[first].name
        times *= divisions[name].parts if first else 1
        rest = {node.name for node in order[first + 1 :]}
        inside = {each: divisions[each] for each in divisions if each in rest}
        passes = sum(1 for _ in in_parts(order[first:], inside))
        if times >= LEAST_PARTS and times * (last - first) >= 2 * passes:
            found[name], times = passes, 1
    return found


def tensors_of(state: Movable) -> list[Tensor]:
    """Return all tensors of a state, in a fixed order."""
    found: list[Tensor] = []

    def kept(each: Tensor) -> Tensor:
        found.append(each)
        return each

    state.mapped(kept)
    return found


def _recording(state: State, finish: Finish[State], device: torch.device) -> Recording | None:
    """Record a part; None if that fails."""
    copy, results = state.mapped(torch.clone), list[Tensor]()
    # A sweep takes the tensors out of its state, so they are listed before it begins.
    inputs = tensors_of(copy)
    graph = recorded(lambda: results.extend(finish(copy, None)), device)
    return None if graph is None else Recording(graph, inputs, results)
