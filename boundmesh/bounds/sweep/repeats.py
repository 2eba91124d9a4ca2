"""Parts of a sweep that a GPU records once, and replays for all parts of one size.

The tiles of a convolution's neurons pass the same nodes one after the other, and start the same
small kernels. The host takes longer to start them than the GPU takes to run them. The end of such
a tile's way, which is not divided any more, is therefore recorded as a CUDA graph. Each further
tile copies its rows to where the recorded kernels read them. The results have the same bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from boundmesh.bounds.sweep.rows import Tile
from boundmesh.kernels.recorded import Recorder, recorder_of

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
Finish = Callable[[State], list[Tensor]]
"""A function that pulls rows back to the input, and returns lower bounds `[D, S]` of each tile."""


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
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known: dict[Hashable, Recording | None] = {}

    def finish(self, state: State, place: str, finish: Finish[State]) -> list[Tensor]:
        """Return `finish(state)` for a part whose next node is `place`."""
        inputs = tensors_of(state)
        key = place, tuple(each.shape for each in inputs)
        if key not in self._known:
            self._known[key] = None
            return finish(state)
        recording = self._known[key]
        if recording is None:
            recorder = recorder_of(self._device)
            recording = None if recorder.broken else _recorded(recorder, state, finish)
            if recording is None:
                return finish(state)
            self._known[key] = recording
        return recording.replay(inputs)


def repeats_of(tiles: Sequence[Tile], device: torch.device) -> Repeats | None:
    """Return where parts of these tiles are recorded; None where that would take more time.

    The first part runs twice as long, once as it is and once recorded. Rows of whole maps keep a
    GPU busy without this.
    """
    if device.type != "cuda" or not tiles or not tiles[0].windowed:
        return None
    parts = len(tiles) * prod(each.parts for each in tiles[0].divisions.values())
    return Repeats(device) if parts >= LEAST_PARTS else None


def tensors_of(state: Movable) -> list[Tensor]:
    """Return all tensors of a state, in a fixed order."""
    found: list[Tensor] = []

    def kept(each: Tensor) -> Tensor:
        found.append(each)
        return each

    state.mapped(kept)
    return found


def _recorded(recorder: Recorder, state: State, finish: Finish[State]) -> Recording | None:
    """Record a part; None if that fails, with a warning."""
    copy, results = state.mapped(torch.clone), list[Tensor]()
    # A sweep takes the tensors out of its state, so they are listed before it begins.
    inputs = tensors_of(copy)
    try:
        graph = recorder.record(lambda: results.extend(finish(copy)))
    except RuntimeError as error:
        warnings.warn(f"a sweep is not recorded: {error}", RuntimeWarning, stacklevel=2)
        return None
    return Recording(graph, inputs, results)
