"""How kernels are found, trusted and started, on GPUs that have Triton."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor


@cache
def available() -> bool:
    """Whether Triton is installed; it comes with PyTorch's builds for GPUs."""
    return find_spec("triton") is not None


Check = Callable[[torch.device], bool]
"""Compares kernels of one kind with the operators on a device; True where they agree."""

_CHECKS: dict[str, Check] = {}


def allow(kind: str, check: Check) -> None:
    """Let kernels of a kind be used on the devices that `check` is true of.

    No kernel is used before: `boundmesh.selfcheck.turn_on` calls this for all kinds.
    """
    _CHECKS[kind] = check


def usable(device: torch.device, kind: str = "rows") -> bool:
    """Whether there is Triton, and kernels of a kind were compared on `device` and agreed."""
    if device.type != "cuda" or not available() or kind not in _CHECKS:
        return False
    return _CHECKS[kind](device)


@cache
def module(name: str) -> Any:
    """A module of kernels. It needs Triton, so it is imported where there is a GPU to run them."""
    return import_module(f"boundmesh.{name}")


def on(device: torch.device) -> AbstractContextManager[object]:
    """Kernels are started on `device`."""
    if device.type != "cuda" or torch.cuda.current_device() == device.index:
        return nullcontext()
    return torch.cuda.device(device)


def start(
    kernel: Any,
    kind: Hashable,
    grid: tuple[int, int, int],
    like: Tensor,
    *arguments: Any,
    **how: Any,
) -> None:
    """Start a Triton kernel on the device of `like`.

    Triton looks at every argument to find what it has compiled for such, which takes longer than
    many a kernel. `kind` says what there is to find: constants, types, which pointers and numbers
    are multiples of 16, which numbers are 1. What was compiled for a kind is started at once.
    """
    device = like.device
    key = (kernel.__name__, device.index, kind)
    with on(device):
        launch = _LAUNCHES.get(key)
        if launch is not None:
            launch(grid, arguments)
            return
        compiled = kernel[grid](*arguments, **how)
        if compiled is not None:  # the interpreter compiles nothing
            _LAUNCHES[key] = _launch_of(compiled, device.index)


Launch = Callable[[tuple[int, int, int], tuple[Any, ...]], None]
"""Starts what was compiled, on a grid, with arguments."""

_LAUNCHES: dict[Hashable, Launch] = {}


def _launch_of(compiled: Any, device: int) -> Launch:
    """Starts it as Triton does, but without asking again for the device, and without telling those
    who listen to launches, which takes longer than the launch itself."""
    try:
        run, given = compiled.run, (compiled.function, compiled.packed_metadata, None, None, None)
        stream = torch._C._cuda_getCurrentRawStream
    except AttributeError:  # not a Triton that is known

        def asking(grid: tuple[int, int, int], arguments: tuple[Any, ...]) -> None:
            compiled[grid](*arguments)

        return asking

    def launch(grid: tuple[int, int, int], arguments: tuple[Any, ...]) -> None:
        run(*grid, stream(device), *given, *arguments)

    return launch


def aligned(*tensors: Tensor) -> bool:
    """Whether all begin at a multiple of 16 bytes."""
    places = 0
    for each in tensors:
        places |= each.data_ptr()
    return places % 16 == 0


def number(value: int) -> int:
    """What a compiler makes of a number: 1, a multiple of 16, or any other."""
    return 1 if value == 1 else 16 if value % 16 == 0 else 0
