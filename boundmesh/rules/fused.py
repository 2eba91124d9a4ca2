"""Rows through shared lines and sums over rows, each in one pass over memory, on GPUs that have
Triton; and how kernels are started.

What `Lines.pull` does with five kernels and four copies of a tile, one kernel does reading every
coefficient once and writing it once. Each row is one program that adds its bias in a fixed order,
so bits depend neither on how many rows there are nor on the device's load.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from math import prod
from typing import Any

import torch
from torch import Tensor

BLOCK = 1024
KERNELS = "rules.kernel"


@cache
def available() -> bool:
    """Whether Triton is installed; it comes with PyTorch's builds for GPUs."""
    return find_spec("triton") is not None


@cache
def usable(device: torch.device) -> bool:
    """Whether there is Triton, and its kernels compute on `device` what the rules do."""
    if device.type != "cuda" or not available():
        return False
    # It looks at the rules, which look here.
    from boundmesh.rules.trust import of_rows, trusted

    return trusted(device, of_rows)


@cache
def kernels(module: str) -> Any:
    """A module of kernels. It needs Triton, so it is imported where there is a GPU to run them."""
    return import_module(f"boundmesh.{module}")


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


def applies(rows: Tensor, below: Tensor, above: Tensor, intercept: Tensor | None) -> bool:
    """float32 on a GPU, no gradients wanted, and lines that broadcast over domains and rows."""
    return (
        rows.is_cuda
        and rows.numel() > 0
        and not torch.is_grad_enabled()
        and rows.dtype == torch.float32
        and rows.is_contiguous()
        and len(rows) >= max(len(below), len(above))
        and (intercept is None or len(rows) >= len(intercept))
        and usable(rows.device)
    )


def pull(
    rows: Tensor, below: Tensor, above: Tensor, intercept: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """`A⁺·below + A⁻·above` and `⟨A⁻, intercept⟩` `[D, S]`.

    rows `[D, S, *]`, the others `[D or 1, S or 1, *]`.
    """
    out = torch.empty_like(rows)
    bias = rows.new_empty(rows.shape[:2])
    size = rows.numel() // (rows.shape[0] * rows.shape[1])
    shift = above if intercept is None else intercept
    lines = [each.expand(*each.shape[:2], *rows.shape[2:]).contiguous()
             for each in (below, above, shift)]  # fmt: skip
    strides = [stride for each in lines for stride in _strides(each, size)]
    with on(rows.device):
        kernels(KERNELS).pull_rows[(rows.shape[0] * rows.shape[1],)](
            rows, *lines, out, bias, rows.shape[1], size, *strides,
            INTERCEPT=intercept is not None, BLOCK=BLOCK,
        )  # fmt: skip
    return out, None if intercept is None else bias


def sums(rows: Tensor, below: Tensor, above: Tensor) -> bool:
    """Whether `signed_inner` takes these: float32 on a GPU, values that all rows share."""
    return (
        rows.is_cuda
        and rows.dtype == torch.float32
        and below.shape == above.shape
        and below.shape[1] == 1
        and usable(rows.device)
    )


def signed_inner(rows: Tensor, below: Tensor, above: Tensor, onto: Tensor | None = None) -> Tensor:
    """`onto + ⟨A⁺, below⟩ + ⟨A⁻, above⟩` `[D, S]`; without `onto` `[D or 1, S]` the sums alone.

    rows `[D or 1, S, *]`, the others `[D or 1, 1, *]`.
    """
    (own, count, *shape), others = rows.shape, below.shape[0]
    same = above is below
    rows, below = rows.contiguous(), below.contiguous()
    above = below if same else above.contiguous()
    domains, size = max(own, others), prod(shape)
    out = rows.new_empty(domains, count)
    if not rows.numel():
        return added(onto, out.zero_())
    earlier = within(onto, domains)
    kind = number(size), aligned(rows, below, above), earlier is not None
    start(
        kernels(KERNELS).signed_sums, kind, (domains * count, 1, 1), rows,
        rows, below, above, earlier, out, count, size,
        apart(rows), apart(below), apart(earlier), earlier is not None, BLOCK,
    )  # fmt: skip
    return out if onto is None or earlier is not None else added(onto, out)


def within(onto: Tensor | None, domains: int) -> Tensor | None:
    """`onto` `[D or 1, S]` where a kernel that sums rows of so many domains can add to it."""
    return None if onto is None or onto.shape[0] > domains else onto.contiguous()


def added(onto: Tensor | None, sums: Tensor) -> Tensor:
    """`onto + sums`; None stands for zero."""
    return sums if onto is None else onto + sums


def apart(values: Tensor | None) -> int:
    """How far apart two domains lie; zero where one stands for all."""
    return 0 if values is None or values.shape[0] == 1 else values.stride(0)


def _strides(lines: Tensor, size: int) -> tuple[int, int]:
    """How far apart the lines of two domains and of two rows lie; zero where they are shared."""
    domains, rows = lines.shape[:2]
    return (rows * size if domains > 1 else 0), (size if rows > 1 else 0)
