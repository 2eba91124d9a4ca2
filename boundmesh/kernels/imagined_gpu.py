"""Imagines a GPU, for planning on a machine without one.

Its tensors lie on torch's device `meta`, where they have shapes and no numbers. Every decision that
depends on the device falls as on a GPU, and kernels are reported instead of started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class ImaginedGPU:
    """An imagined GPU.

    hopper   True if its compute capability is 9
    started  a function that is called with the name and the arguments of each kernel
    beside   returns a context in which work runs on the stream of recordings
    """

    hopper: bool
    started: Callable[[str, tuple[Any, ...]], None]
    beside: Callable[[], AbstractContextManager[object]] = nullcontext


_GPU: ContextVar[ImaginedGPU | None] = ContextVar("imagined_gpu", default=None)


@contextmanager
def imagining(gpu: ImaginedGPU | None) -> Iterator[None]:
    """A context in which tensors on `meta` stand for tensors on the GPU (None: on a CPU)."""
    before = _GPU.set(gpu)
    try:
        yield
    finally:
        _GPU.reset(before)


def imagined(device: torch.device) -> ImaginedGPU | None:
    """Return the imagined GPU that the device stands for, or None."""
    return _GPU.get() if device.type == "meta" else None


class ImaginedKernel:
    """It stands for a GPU kernel: a launch computes nothing and calls `gpu.started`."""

    def __init__(self, name: str, gpu: ImaginedGPU) -> None:
        self.__name__, self._gpu = name, gpu

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        return lambda *arguments, **options: self._gpu.started(self.__name__, arguments)


@dataclass(frozen=True)
class ImaginedModule:
    """A module of kernels of which each attribute is a kernel."""

    gpu: ImaginedGPU

    def __getattr__(self, name: str) -> ImaginedKernel:
        return ImaginedKernel(name, self.gpu)


def imagined_module() -> ImaginedModule | None:
    """Return the module that stands for every module of kernels while a GPU is imagined."""
    gpu = _GPU.get()
    return None if gpu is None else ImaginedModule(gpu)
