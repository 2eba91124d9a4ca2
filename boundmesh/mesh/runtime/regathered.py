"""Forward passes whose backward pass gathers weights again, so that autograd keeps none."""

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
    """A view of a gathered weight, which autograd stores in place of the tensor.

    name     the name of the weight
    shape    the shape of the view
    strides  the strides of the view
    offset   the first element of the view in the weight
    """

    name: str
    shape: torch.Size
    strides: tuple[int, ...]
    offset: int


@dataclass
class GatheredNames:
    """The names of the gathered weights that are still in use, by their address in memory."""

    _tensors: dict[int, tuple[weakref.ref[Tensor], str]] = field(default_factory=dict)

    def note(self, name: str, whole: Tensor) -> Tensor:
        """Store the name of a weight for as long as its tensor exists, and return the tensor."""
        self._tensors[whole.untyped_storage().data_ptr()] = (weakref.ref(whole), name)
        return whole

    def name(self, tensor: Tensor) -> str | None:
        """Return the name of the weight of which a tensor is a view, or None."""
        entry = self._tensors.get(tensor.untyped_storage().data_ptr())
        return None if entry is None or entry[0]() is None else entry[1]


class Gathered(Mapping[str, Tensor]):
    """Whole weights by name. They are gathered when read, and `given` stores their names."""

    given: GatheredNames


@contextmanager
def regathered(weights: Gathered) -> Iterator[None]:
    """Return a context in which autograd stores names of gathered weights in place of tensors.

    The backward pass gathers the weights again. Every rank must run the backward pass through the
    same operators in the same order.
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
