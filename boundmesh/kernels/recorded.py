"""Records repeated work on a GPU as a CUDA graph, which is then replayed.

A GPU finishes a small kernel before the host has started the next one. A CUDA graph is started as a
whole, whatever the number of its kernels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import torch

from boundmesh.kernels import launcher
from boundmesh.runtime.device import numbered

Step = Callable[[], object]


def recorded_at_first_call(step: Step, device: torch.device, *, recordable: bool) -> Step:
    """Return `step`, or on a GPU a version of it that is recorded at its next call.

    `recordable` must be true only if the step reads and writes the same tensors each time, has no
    other result, and never waits for a value from the device.
    """
    return RecordedStep(step, device) if recordable and device.type == "cuda" else step


class RecordedStep:
    """A step that is recorded at its first call.

    If recording fails, the step runs as it is, with a warning. The results have the same bits.
    """

    def __init__(self, step: Step, device: torch.device) -> None:
        self._step, self._device = step, device
        self._graph: torch.cuda.CUDAGraph | None = None
        self._fails = False

    def __call__(self) -> None:
        if self._graph is None and not self._fails:
            self._graph = record_step(self._step, self._device)
            self._fails = self._graph is None
        if self._graph is None:
            self._step()
        else:
            self._graph.replay()


def record_step(step: Step, device: torch.device) -> torch.cuda.CUDAGraph | None:
    """Record a step without running it.

    The result is None if that fails, with a warning, or if an earlier recording failed.
    """
    recorder = recorder_of(device)
    if recorder.broken:
        return None
    try:
        return recorder.record(step)
    except RuntimeError as error:
        warnings.warn(f"a step is not recorded: {error}", RuntimeWarning, stacklevel=3)
        return None


class StepRecorder:
    """The stream and the memory with which steps are recorded on a device; all steps share both.

    broken  true after a recording has failed
    """

    def __init__(self, device: torch.device) -> None:
        # The kernels of each kind are compared with the operators before any of them is recorded.
        launcher.compare(device)
        self.broken = False
        self._device, self._stream = device, torch.cuda.Stream(device)
        self._memory = torch.cuda.graph_pool_handle()
        # This recording keeps the shared memory alive; without a recording it would be freed.
        self._first = self.record(lambda: torch.zeros(1, device=device))

    def record(self, step: Step) -> torch.cuda.CUDAGraph:
        """Record the kernels that a step starts, without running them."""
        graph, now = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._device)
        self._stream.wait_stream(now)
        with torch.cuda.stream(self._stream):
            # Other threads may call CUDA meanwhile, to compile kernels or to poll NCCL's events.
            graph.capture_begin(self._memory, "relaxed")
            try:
                step()
            except BaseException:
                self._give_up(graph)
                raise
            graph.capture_end()
        now.wait_stream(self._stream)
        return graph

    def _give_up(self, graph: torch.cuda.CUDAGraph) -> None:
        """End a recording that failed; the reason why it failed is the error that the caller sees.

        Ending it fails as well, and leaves torch's random numbers as they are during a recording.
        A recording of nothing in memory of its own puts them back. The shared memory stays marked
        as in use, so nothing is recorded in it again.
        """
        self.broken = True
        with suppress(RuntimeError):
            graph.capture_end()
        with suppress(RuntimeError):
            nothing = torch.cuda.CUDAGraph()
            nothing.capture_begin(torch.cuda.graph_pool_handle(), "relaxed")
            torch.zeros(1, device=self._device)
            nothing.capture_end()


def busy(device: torch.device) -> bool:
    """Return True if a GPU has not finished the work that was started on its current stream."""
    return device.type == "cuda" and not torch.cuda.current_stream(device).query()


def recorder_of(device: torch.device) -> StepRecorder:
    """Return the recorder of a GPU."""
    return _cached_recorder(numbered(device))


@cache
def _cached_recorder(device: torch.device) -> StepRecorder:
    return StepRecorder(device)
