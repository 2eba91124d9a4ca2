"""Finds work that waits for a value from the device, or copies one there, on a machine without one.

A step with such work cannot be recorded on a GPU. Each such step is an operator of PyTorch that
takes a number out of a tensor, makes a shape from values, or makes a tensor from Python's numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from boundmesh.operators import window_blocks

WAITS = (
    "aten._local_scalar_dense",
    "aten.nonzero",
    "aten.masked_select",
    "aten.unique",
    "aten._unique",
    "aten.bincount",
    "aten.lift_fresh",
)


class Waits(TorchDispatchMode):
    """Collects in `found` the operators that wait for the device or copy to it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self,
        function: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = str(function)
        masks = name.startswith("aten.index") and any(
            isinstance(each, torch.Tensor) and each.dtype == torch.bool
            for part in args[1:2]
            if isinstance(part, list | tuple)
            for each in part
        )
        if masks or name.startswith(WAITS):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@contextmanager
def never_waits() -> Iterator[None]:
    """Raise AssertionError if work in the context waits for a value, or makes a tensor of one.

    Passes over windows that only a CPU takes are left out: on a GPU kernels take their place.
    """
    with mock.patch.object(window_blocks, "applies", lambda windows: False), Waits() as waits:
        yield
    assert not waits.found, f"this cannot be recorded: {sorted(set(waits.found))}"
