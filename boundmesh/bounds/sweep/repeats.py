"""Stretches of a sweep's way that a GPU records once, and replays for all parts of one size.

The tiles of a convolution's neurons pass the same nodes one after the other, and start the same
small kernels. The host takes longer to start them than the GPU takes to run them. What a part of a
tile does in a stretch is therefore recorded as a CUDA graph. Each further part copies its rows to
where the recorded kernels read them. The results have the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from boundmesh.bounds.sweep.rows import Tile
from boundmesh.bounds.sweep.stretches import Stretch, stretches
from boundmesh.kernels.imagined_gpu import imagined
from boundmesh.kernels.once import during_recording
from boundmesh.kernels.recorded import record_step
from boundmesh.operators.node import Node

Change = Callable[[Tensor], Tensor]
"""A function of a tensor, such as `Tensor.clone`."""


class Movable(Protocol):
    """Something whose tensors can be replaced by others of the same shapes."""

    def mapped(self: Moved, change: Change) -> Moved:
        """Return a copy in which `change` replaced every tensor, in a fixed order."""
        ...


class Part(Movable, Protocol):
    """The state of a sweep."""

    @property
    def height(self) -> int:
        """The number of rows of the longest tile."""
        ...


Moved = TypeVar("Moved", bound=Movable)
State = TypeVar("State", bound=Part)


@dataclass(frozen=True)
class Lowest:
    """The results of a whole sweep: lower bounds `[D, S]` of each tile."""

    bounds: list[Tensor]

    def mapped(self, change: Change) -> Lowest:
        return Lowest([change(each) for each in self.bounds])


@dataclass(frozen=True)
class RecordedPart(Generic[Moved]):
    """What a part of a tile does in a stretch, recorded.

    graph    the kernels
    inputs   the tensors that they read
    results  what they compute
    alike    the places of the inputs of each type, which are copied together
    """

    graph: torch.cuda.CUDAGraph
    inputs: Sequence[Tensor]
    results: Moved
    alike: Sequence[Sequence[int]]

    @staticmethod
    def of(
        graph: torch.cuda.CUDAGraph, inputs: Sequence[Tensor], results: Moved
    ) -> RecordedPart[Moved]:
        types = [each.dtype for each in inputs]
        alike = [[at for at, each in enumerate(types) if each == one] for one in {*types}]
        return RecordedPart(graph, inputs, results, alike)

    def replay(self, inputs: Sequence[Tensor]) -> Moved:
        """Compute the results for other inputs of the same shapes.

        The next replay overwrites them.
        """
        for places in self.alike:
            torch._foreach_copy_([self.inputs[at] for at in places], [inputs[at] for at in places])
        self.graph.replay()
        return self.result

    @property
    def result(self) -> Moved:
        """What the last replay computed, in an object that a sweep may change."""
        return self.results.mapped(lambda each: each)


@dataclass
class Repeat:
    """The recording of one stretch of a sweep, which is made for its first part.

    All recordings share their memory, and each writes its results where no later recording writes.
    So a stretch is recorded before those behind it, or never.

    stretch  the nodes, and the size of the parts that are recorded; parts of another size are few
    device   the GPU
    """

    stretch: Stretch
    device: torch.device
    _begun: bool = False
    _shapes: Sequence[torch.Size] = ()
    _recording: RecordedPart[Any] | None = None
    _kept: Sequence[Tensor] = field(default=())

    def run(
        self,
        state: State,
        step: Callable[[State], Moved],
        rehearse: Callable[[State], object],
    ) -> Moved:
        """Return `step(state)`, which is recorded for the first part.

        `rehearse` pulls rows through the fresh nodes. The result may share its memory with that of
        the next part, so it must be read before.
        """
        inputs = tensors_of(state)
        if state.height != self.stretch.height or not all(each.numel() for each in inputs):
            self._begun = True
            return step(state)
        if imagined(self.device) is not None:
            return self._imagine(state, step, rehearse)
        if not self._begun:
            self.record(state, step, rehearse)
        if self._recording is None or self._shapes != [each.shape for each in inputs]:
            return step(state)
        found: Moved = self._recording.replay(inputs)
        return found

    def record(
        self,
        state: State,
        step: Callable[[State], Moved],
        rehearse: Callable[[State], object],
    ) -> Moved | None:
        """Record `step` for parts of the shapes of `state`.

        Returns where it writes its result, which is not computed yet; None if recording fails.
        """
        self._rehearse(state, rehearse)
        self._recording = _record_part(state, step, self.device)
        self._shapes = [each.shape for each in tensors_of(state)]
        return None if self._recording is None else self._recording.result

    def _rehearse(self, state: State, rehearse: Callable[[State], object]) -> None:
        """Compute before the first part what all parts share."""
        first, self._begun = not self._begun, True
        if first and self.stretch.fresh:
            rehearse(state.mapped(torch.clone))

    def _imagine(
        self,
        state: State,
        step: Callable[[State], Moved],
        rehearse: Callable[[State], object],
    ) -> Moved:
        """Return the result in memory of its own, as a recording has it with its inputs."""
        gpu = imagined(self.device)
        assert gpu is not None
        self._rehearse(state, rehearse)
        self._kept = ()
        copy = state.mapped(torch.clone)
        self._kept = tensors_of(copy)
        with gpu.beside():
            return step(copy)


Repeats = Mapping[str, Repeat]
"""The recordings of the sweep of one start node, by the names of the first nodes of stretches."""


def repeats_of(
    order: Sequence[Node],
    tiles: Sequence[Tile],
    device: torch.device,
    dealers: int = 1,
    known: Collection[str] = (),
) -> Repeats:
    """Return the stretches of the way of these tiles that are recorded.

    The tiles are divided among `dealers` ranks. `known` are the nodes for which all that parts
    share was computed. Rows of whole maps keep a GPU busy without recordings.
    """
    on_gpu = device.type == "cuda" or imagined(device) is not None
    if not on_gpu or not tiles or not tiles[0].windowed:
        return {}
    first, times = tiles[0], -(-len(tiles) // dealers)
    found = stretches(order, first.divisions, first.rows.count, times, known)
    return {each.first: Repeat(each, device) for each in found}


def tensors_of(state: Movable) -> list[Tensor]:
    """Return all tensors of a state, in a fixed order."""
    found: list[Tensor] = []

    def kept(each: Tensor) -> Tensor:
        found.append(each)
        return each

    state.mapped(kept)
    return found


def _record_part(
    state: State, step: Callable[[State], Moved], device: torch.device
) -> RecordedPart[Moved] | None:
    """Record a part; None if that fails."""
    copy, results = state.mapped(torch.clone), list[Moved]()
    # A sweep takes the tensors out of its state, so they are listed before it begins.
    inputs = tensors_of(copy)
    with during_recording():
        graph = record_step(lambda: results.append(step(copy)), device)
    return None if graph is None else RecordedPart.of(graph, inputs, results[0])
