"""Records stretches of a sweep's way once on a GPU, and replays them for all parts of one size.

The tiles of a convolution's neurons pass the same nodes one after the other, and start the same
small kernels. The host takes longer to start them than the GPU takes to run them. What a part of a
tile does in a stretch is therefore recorded as a CUDA graph. Each further part copies its rows to
where the recorded kernels read them. The results have the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from boundmesh.bounds.sweep.recorded_parts import (
    Moved,
    RecordedPart,
    State,
    record_part,
    tensors_of,
)
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.bounds.sweep.stretches import Stretch, stretches
from boundmesh.kernels.imagined_gpu import ImaginedGPU, imagined
from boundmesh.operators.node import Node


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
    _kept: Sequence[Tensor] = ()

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
        if state.height != self.stretch.height or not all(tensor.numel() for tensor in inputs):
            self._begun = True
            return step(state)
        gpu = imagined(self.device)
        if gpu is not None:
            return self._imagine(gpu, state, step, rehearse)
        if not self._begun:
            self.record(state, step, rehearse)
        if self._recording is None or self._shapes != [tensor.shape for tensor in inputs]:
            return step(state)
        results: Moved = self._recording.replay(inputs)
        return results

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
        self._recording = record_part(state, step, self.device)
        self._shapes = [tensor.shape for tensor in tensors_of(state)]
        return None if self._recording is None else self._recording.result

    def _rehearse(self, state: State, rehearse: Callable[[State], object]) -> None:
        """Compute before the first part what all parts share."""
        first, self._begun = not self._begun, True
        if first and self.stretch.fresh:
            rehearse(state.mapped(torch.clone))

    def _imagine(
        self,
        gpu: ImaginedGPU,
        state: State,
        step: Callable[[State], Moved],
        rehearse: Callable[[State], object],
    ) -> Moved:
        """Return the result in memory of its own, as a recording has it with its inputs."""
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
    recorded = stretches(order, first.divisions, first.rows.count, times, known)
    return {stretch.first: Repeat(stretch, device) for stretch in recorded}
