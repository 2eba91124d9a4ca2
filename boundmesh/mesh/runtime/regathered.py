"""Forward passes whose gradients gather the weights again instead of keeping them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


@dataclass(frozen=True)
class Regather:
    """A view of a weight that autograd wants to keep: which weight, and which view."""

    name: str
    shape: torch.Size
    strides: tuple[int, ...]
    offset: int


@dataclass
class GatheredNames:
    """The whole weights that are in somebody's hands, known by their memory."""

    _tensors: dict[int, tuple[weakref.ref[Tensor], str]] = field(default_factory=dict)

    def note(self, name: str, whole: Tensor) -> Tensor:
        """Remember a weight for as long as it lives."""
        self._tensors[whole.untyped_storage().data_ptr()] = (weakref.ref(whole), name)
        return whole

    def name(self, tensor: Tensor) -> str | None:
        """The weight that a tensor is a view of."""
        entry = self._tensors.get(tensor.untyped_storage().data_ptr())
        return None if entry is None or entry[0]() is None else entry[1]


class Gathered(Mapping[str, Tensor]):
    """Whole weights by name, gathered when asked for and noted in `given`."""

    given: GatheredNames


@contextmanager
def regathered(weights: Gathered) -> Iterator[None]:
    """Autograd notes the names of gathered weights, and asks for them again on the way back.

    Every rank must go back through the same operators, in their order.
    """

    def pack(saved: Tensor) -> Tensor | Regather:
        name = weights.given.name(saved)
        if name is None:
            return saved
        return Regather(name, saved.shape, saved.stride(), int(saved.storage_offset()))

    def unpack(kept: Tensor | Regather) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        return weights[kept.name].as_strided(kept.shape, kept.strides, kept.offset)

    with saved_tensors_hooks(pack, unpack):
        yield
