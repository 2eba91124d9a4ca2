"""Parts of a sweep that a GPU records once, and replays for all parts of one size.

The tiles of a convolution's neurons pass the same nodes one after the other, and start the same
small kernels. The host takes longer to start them than the GPU takes to run them. What a tile, or
a part of one, does from some node on is therefore recorded as a CUDA graph. Each further part
copies its rows to where the recorded kernels read them. The results have the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from boundmesh.bounds.sweep.parts import in_parts, without
from boundmesh.bounds.sweep.rows import Division, Tile
from boundmesh.kernels.imagined_gpu import imagined
from boundmesh.kernels.once import nothing_new
from boundmesh.kernels.recorded import recorded
from boundmesh.operators.node import Node

RECORDING = 1.5
"""How much longer than passing the nodes of a part it takes the host to record them."""
REPLAY = 1.0
"""A replay takes the host about as long as passing so many nodes."""

Change = Callable[[Tensor], Tensor]
"""A function of a tensor, such as `Tensor.clone`."""


class Movable(Protocol):
    """The state of a sweep whose tensors can be replaced by others of the same shapes."""

    @property
    def height(self) -> int:
        """The number of rows of the longest tile."""
        ...

    def mapped(self: State, change: Change) -> State:
        """Return a copy in which `change` replaced every tensor, in a fixed order."""
        ...


State = TypeVar("State", bound=Movable)
Finish = Callable[[State], list[Tensor]]
"""A function that pulls rows back to the input, and returns lower bounds `[D, S]` of each tile."""


@dataclass(frozen=True)
class Recording:
    """A recorded part of a sweep.

    graph    the kernels
    inputs   the tensors that they read
    results  the tensors that they write
    alike    the places of the inputs of each type, which are copied together
    """

    graph: torch.cuda.CUDAGraph
    inputs: Sequence[Tensor]
    results: Sequence[Tensor]
    alike: Sequence[Sequence[int]]

    @staticmethod
    def of(
        graph: torch.cuda.CUDAGraph, inputs: Sequence[Tensor], results: Sequence[Tensor]
    ) -> Recording:
        types = [each.dtype for each in inputs]
        alike = [[at for at, each in enumerate(types) if each == one] for one in {*types}]
        return Recording(graph, inputs, results, alike)

    def replay(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Compute the results for other inputs of the same shapes."""
        for places in self.alike:
            torch._foreach_copy_([self.inputs[at] for at in places], [inputs[at] for at in places])
        self.graph.replay()
        return [each.clone() for each in self.results]


@dataclass
class Repeats:
    """The recording of the sweep of one start node.

    place   the name of the node from which on parts are recorded
    height  how many rows such a part has; parts of another size are few and are not recorded
    fresh   how many nodes from there on are passed once before the recording, because something
            that all parts share, such as a relaxation, was not computed for the last of them yet
    device  the GPU
    """

    place: str
    height: int
    fresh: int
    device: torch.device
    _begun: bool = False
    _shapes: Sequence[torch.Size] = ()
    _recording: Recording | None = None

    def finish(
        self, state: State, finish: Finish[State], rehearse: Callable[[State], object]
    ) -> list[Tensor]:
        """Pull a part back to the input by `finish`, which is recorded for the first part.

        `rehearse` pulls rows through the fresh nodes.
        """
        inputs = tensors_of(state)
        if state.height != self.height or not all(each.numel() for each in inputs):
            return finish(state)
        first, self._begun = not self._begun, True
        if first and self.fresh:
            rehearse(state.mapped(torch.clone))
        gpu = imagined(self.device)
        if gpu is not None:
            copy = state.mapped(torch.clone)
            inputs = tensors_of(copy)  # recorded kernels would keep them
            with gpu.beside():
                return finish(copy)
        if first:
            self._recording = _recording(state, finish, self.device)
            self._shapes = [each.shape for each in inputs]
        if self._recording is None or self._shapes != [each.shape for each in inputs]:
            return finish(state)
        return self._recording.replay(inputs)


def repeats_of(
    order: Sequence[Node],
    tiles: Sequence[Tile],
    device: torch.device,
    dealers: int = 1,
    known: Collection[str] = (),
) -> Repeats | None:
    """Return where parts of these tiles are recorded on their way; None if nowhere.

    The tiles are divided among `dealers` ranks. `known` are the nodes for which all that parts
    share was computed. Rows of whole maps keep a GPU busy without recordings.
    """
    on_gpu = device.type == "cuda" or imagined(device) is not None
    if not on_gpu or not tiles or not tiles[0].windowed:
        return None
    first, divisions = tiles[0], tiles[0].divisions
    place = worthwhile(order, divisions, -(-len(tiles) // dealers))
    if place is None:
        return None
    name, rest = order[place].name, order[place:]
    height = divisions[name].height if name in divisions else first.rows.count
    fresh = max((at for at, node in enumerate(rest, 1) if node.name not in known), default=0)
    return Repeats(name, height, fresh, device)


def worthwhile(order: Sequence[Node], divisions: Mapping[str, Division], times: int) -> int | None:
    """Return the place of the node from which on it saves most time to record a part; None if none.

    The way of a tile is cut into stretches where it is divided. `times` tiles pass the first.
    """
    ends = [place for place, node in enumerate(order) if node.name in divisions and place]
    before, best, least = 0.0, None, float("inf")
    for first, last in pairwise([0, *ends, len(order)]):
        times *= divisions[order[first].name].parts if first else 1
        cost = before + RECORDING * passes_from(order, divisions, first) + REPLAY * times
        if cost < least:
            best, least = first, cost
        before += times * (last - first)
    return best if least < before else None


def passes_from(order: Sequence[Node], divisions: Mapping[str, Division], place: int) -> int:
    """Return how many nodes a part that was divided at `place` passes with its own parts."""
    rest = order[place:]
    return sum(1 for _ in in_parts(rest, without(divisions, rest[0].name))) if rest else 0


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
    with nothing_new():
        graph = recorded(lambda: results.extend(finish(copy)), device)
    return None if graph is None else Recording.of(graph, inputs, results)
