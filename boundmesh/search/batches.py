"""Batches: frozen dataclasses of tensors that all have the domain dim first."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import prod
from typing import Self, TypeVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Arrays:
    """A batch of D domains. Every field is a tensor `[D, …]`, and one of them is `margin` `[D]`."""

    margin: Tensor

    def __len__(self) -> int:
        return len(self.margin)

    def take(self, which: Tensor) -> Self:
        """Return the domains at `which`, a tensor of indices or a mask."""
        return type(self)(**{name: values[which] for name, values in self._fields()})

    def to(self, device: torch.device) -> Self:
        return type(self)(**{name: values.to(device) for name, values in self._fields()})

    @property
    def packed(self) -> Tensor:
        """All fields side by side, as bytes `[D, B]`."""
        flat = [values.reshape(len(self), _length(values)) for _, values in self._fields()]
        return torch.cat([values.contiguous().view(torch.uint8) for values in flat], dim=1)

    def unpacked(self, packed: Tensor) -> Self:
        """Make K domains of `packed` `[K, B]`; their fields have the shapes and dtypes of these."""
        tensors, first = {}, 0
        for name, values in self._fields():
            last = first + _length(values) * values.element_size()
            bytes_of = packed[:, first:last].flatten().clone()
            tensors[name] = bytes_of.view(values.dtype).reshape(len(packed), *values.shape[1:])
            first = last
        return type(self)(**tensors)

    @property
    def bytes(self) -> int:
        return sum(values.nbytes for _, values in self._fields())

    def _fields(self) -> list[tuple[str, Tensor]]:
        return [(part.name, self.__dict__[part.name]) for part in fields(self)]


def _length(values: Tensor) -> int:
    """Return how many numbers one domain has in `values`."""
    return prod(values.shape[1:])


Kind = TypeVar("Kind", bound=Arrays)


def join(parts: list[Kind]) -> Kind:
    """Join batches of one kind into one batch."""
    names = [part.name for part in fields(parts[0])]
    together = {name: torch.cat([part.__dict__[name] for part in parts]) for name in names}
    return type(parts[0])(**together)
