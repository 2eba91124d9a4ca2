"""Work on a GPU that is done again and again: recorded once, and from then on replayed.

A small step is over on a GPU before the host has started the next one. A recorded step is started
as a whole (a CUDA graph), whatever the number of its kernels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

import torch

Step = Callable[[], object]


def repeated(step: Step, device: torch.device, *, recordable: bool) -> Step:
    """`step`, which is recorded when it is next taken, if it may be and `device` is a GPU.

    It may be where it reads and writes the same tensors each time, leaves nothing else that is
    needed afterwards, and asks the device for nothing.
    """
    return Recorded(step, device) if recordable and device.type == "cuda" else step


class Recorded:
    """A recorded step. One that cannot be recorded is taken as it is, with a warning: its bits are
    the same."""

    def __init__(self, step: Step, device: torch.device) -> None:
        self._step, self._device = step, device
        self._graph: torch.cuda.CUDAGraph | None = None
        self._fails = False

    def __call__(self) -> None:
        if self._graph is None and not self._fails:
            try:
                self._graph = _recorder(self._device).record(self._step)
            except RuntimeError as error:
                warnings.warn(f"a step is not recorded: {error}", RuntimeWarning, stacklevel=2)
                self._fails = True
        if self._graph is None:
            self._step()
        else:
            self._graph.replay()


class Recorder:
    """Where steps are recorded on a device: a stream, and memory that all of them take turns in."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)
        self._memory = torch.cuda.graph_pool_handle()
        # Memory that no recording holds would be lost to the next one.
        self._first = self.record(lambda: torch.zeros(1, device=device))

    def record(self, step: Step) -> torch.cuda.CUDAGraph:
        """Note what a step starts, without doing it."""
        graph, now = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._device)
        self._stream.wait_stream(now)
        with torch.cuda.stream(self._stream):
            # Kernels may be compiled meanwhile, and NCCL's threads ask the device how far it is.
            graph.capture_begin(self._memory, "relaxed")
            try:
                step()
            finally:
                graph.capture_end()
        now.wait_stream(self._stream)
        return graph


@cache
def _recorder(device: torch.device) -> Recorder:
    return Recorder(device)
