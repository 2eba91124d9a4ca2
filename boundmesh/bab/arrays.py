"""Batches: frozen dataclasses of tensors that all have the domain dim in front."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self, TypeVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Arrays:
    """A batch of D domains; every field is a tensor `[D, …]`, `margin` `[D]` among them."""

    margin: Tensor

    def __len__(self) -> int:
        return len(self.margin)

    def take(self, which: Tensor) -> Self:
        """The domains at `which` (indices or mask)."""
        return type(self)(**{name: values[which] for name, values in self._fields()})

    def to(self, device: torch.device) -> Self:
        return type(self)(**{name: values.to(device) for name, values in self._fields()})

    @property
    def bytes(self) -> int:
        return sum(values.nbytes for _, values in self._fields())

    def _fields(self) -> list[tuple[str, Tensor]]:
        return [(part.name, self.__dict__[part.name]) for part in fields(self)]


Kind = TypeVar("Kind", bound=Arrays)


def join(parts: list[Kind]) -> Kind:
    """One batch of several of a kind."""
    names = [part.name for part in fields(parts[0])]
    together = {name: torch.cat([part.__dict__[name] for part in parts]) for name in names}
    return type(parts[0])(**together)
