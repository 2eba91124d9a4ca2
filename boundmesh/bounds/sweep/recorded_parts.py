"""Records on a GPU what one part of a tile does in a stretch, with copies of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from boundmesh.kernels.once import during_recording
from boundmesh.kernels.recorded import record_step

Change = Callable[[Tensor], Tensor]
"""A function of a tensor, such as `Tensor.clone`."""


class Movable(Protocol):
    """Something whose tensors can be replaced by others of the same shapes."""

    def mapped(self: Moved, change: Change) -> Moved:
        """Return a copy in which `change` replaced every tensor, in a fixed order."""
        ...


class RecordableState(Movable, Protocol):
    """The state of a sweep that can be copied, so that a stretch can be recorded with the copy."""

    @property
    def height(self) -> int:
        """The number of rows of the longest tile."""
        ...


Moved = TypeVar("Moved", bound=Movable)
State = TypeVar("State", bound=RecordableState)


@dataclass(frozen=True)
class Lowest:
    """The results of a whole sweep: lower bounds `[D, S]` of each tile."""

    bounds: list[Tensor]

    def mapped(self, change: Change) -> Lowest:
        return Lowest([change(bound) for bound in self.bounds])


@dataclass(frozen=True)
class RecordedPart(Generic[Moved]):
    """A recording of what a part of a tile does in a stretch.

    graph    the kernels
    inputs   the tensors that they read
    results  what they compute
    indices_by_type
             the indices of the inputs of each type, which are copied together
    """

    graph: torch.cuda.CUDAGraph
    inputs: Sequence[Tensor]
    results: Moved
    indices_by_type: Sequence[Sequence[int]]

    @staticmethod
    def of(
        graph: torch.cuda.CUDAGraph, inputs: Sequence[Tensor], results: Moved
    ) -> RecordedPart[Moved]:
        types = [tensor.dtype for tensor in inputs]
        indices_by_type = [
            [index for index, dtype in enumerate(types) if dtype == wanted] for wanted in {*types}
        ]
        return RecordedPart(graph, inputs, results, indices_by_type)

    def replay(self, inputs: Sequence[Tensor]) -> Moved:
        """Compute the results for other inputs of the same shapes.

        The next replay overwrites them.
        """
        for indices in self.indices_by_type:
            torch._foreach_copy_(
                [self.inputs[index] for index in indices], [inputs[index] for index in indices]
            )
        self.graph.replay()
        return self.result

    @property
    def result(self) -> Moved:
        """The results of the last replay, in an object that a sweep may change."""
        return self.results.mapped(lambda each: each)


def tensors_of(state: Movable) -> list[Tensor]:
    """Return all tensors of a state, in a fixed order."""
    tensors: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        tensors.append(tensor)
        return tensor

    state.mapped(keep)
    return tensors


def record_part(
    state: State, step: Callable[[State], Moved], device: torch.device
) -> RecordedPart[Moved] | None:
    """Record a part; None if that fails."""
    copy, results = state.mapped(torch.clone), list[Moved]()
    # A sweep takes the tensors out of its state, so they are listed before it begins.
    inputs = tensors_of(copy)
    with during_recording():
        graph = record_step(lambda: results.append(step(copy)), device)
    return None if graph is None else RecordedPart.of(graph, inputs, results[0])
