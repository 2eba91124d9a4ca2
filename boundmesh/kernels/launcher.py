"""Finds Triton kernels, decides if they may be used on a device, and starts them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from boundmesh.kernels.imagined_gpu import imagined, imagined_module
from boundmesh.runtime.device import numbered


@cache
def available() -> bool:
    """Return True if Triton is installed. PyTorch's builds for GPUs include it."""
    return find_spec("triton") is not None


Check = Callable[[torch.device], bool]
"""A function that compares kernels of one kind with the operators on a device.

It returns True if they agree."""

_CHECKS: dict[str, Check] = {}


def allow(kind: str, check: Check) -> None:
    """Allow kernels of one kind on every device for which `check` returns True.

    No kernel is used before this is called. `boundmesh.selfcheck.turn_on` calls it for all kinds.
    """
    _CHECKS[kind] = check


def on_gpu(x: Tensor) -> bool:
    """Return True if the tensor lies on a GPU, or on an imagined one."""
    return x.is_cuda or imagined(x.device) is not None


def on_cpu(x: Tensor) -> bool:
    """Return True if the tensor lies on a CPU, or on `meta` while no GPU is imagined."""
    return x.device.type == "cpu" or (x.is_meta and imagined(x.device) is None)


def usable(device: torch.device, kind: str = "rows") -> bool:
    """Return True if Triton is installed and kernels of this kind agree with the operators."""
    if imagined(device) is not None:
        return True
    if device.type != "cuda" or not available() or kind not in _CHECKS:
        return False
    return _CHECKS[kind](numbered(device))


def compare(device: torch.device) -> None:
    """Compare the kernels of every kind with the operators, if they were not compared before."""
    for kind in _CHECKS:
        usable(device, kind)


def module(name: str) -> Any:
    """Import a module of kernels. It needs Triton, so this is called only where a GPU runs them."""
    return imagined_module() or _module(name)


@cache
def _module(name: str) -> Any:
    return import_module(f"boundmesh.{name}")


def on(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which kernels are started on `device`."""
    if device.type != "cuda" or torch.cuda.current_device() == device.index:
        return nullcontext()
    return torch.cuda.device(device)


def start(
    kernel: Any,
    version_key: Hashable,
    grid: tuple[int, int, int],
    like: Tensor,
    *arguments: Any,
    **options: Any,
) -> None:
    """Start a Triton kernel on the device of `like`.

    Triton inspects every argument to find the compiled version that fits, which takes longer than
    many kernels run. `version_key` therefore holds all that the version depends on: constants,
    types, the pointers and numbers that are multiples of 16, and the numbers that are 1. A version
    that was compiled for a key is started without inspecting the arguments again.
    """
    device = like.device
    # Kernels of two modules may share a name, and modules keep their kernels as long as they live.
    key = (id(kernel), device.index, version_key)
    with on(device):
        launch = _LAUNCHES.get(key)
        if launch is not None:
            launch(grid, arguments)
            return
        compiled = kernel[grid](*arguments, **options)
        if compiled is not None:  # the interpreter compiles nothing
            _LAUNCHES[key] = _launch_of(compiled, device.index)


Launch = Callable[[tuple[int, int, int], tuple[Any, ...]], None]
"""A function that starts a compiled kernel on a grid with arguments."""

_LAUNCHES: dict[Hashable, Launch] = {}


def _launch_of(compiled: Any, device: int) -> Launch:
    """Return a function that starts a compiled kernel as Triton does, with less overhead.

    It does not look up the device again, and it calls no launch hooks. Both take longer than the
    launch itself.
    """
    try:
        run, given = compiled.run, (compiled.function, compiled.packed_metadata, None, None, None)
        stream = torch._C._cuda_getCurrentRawStream
    except AttributeError:  # this version of Triton is unknown

        def launch_by_triton(grid: tuple[int, int, int], arguments: tuple[Any, ...]) -> None:
            compiled[grid](*arguments)

        return launch_by_triton

    def launch(grid: tuple[int, int, int], arguments: tuple[Any, ...]) -> None:
        run(*grid, stream(device), *given, *arguments)

    return launch


def aligned(*tensors: Tensor) -> bool:
    """Return True if all tensors begin at a multiple of 16 bytes."""
    addresses = 0
    for tensor in tensors:
        addresses |= tensor.data_ptr()
    return addresses % 16 == 0


def divisibility(value: int) -> int:
    """Return how Triton classifies a number: 1, 16 for a multiple of 16, or 0 for any other."""
    return 1 if value == 1 else 16 if value % 16 == 0 else 0
