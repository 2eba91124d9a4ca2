"""Sums `[D, S]` that rows pick up: of D domains or one for all; None where there is nothing yet."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

Later = TypeVar("Later", bound=Tensor | None)


def added(earlier: Tensor | None, later: Later) -> Tensor | Later:
    """`earlier + later`; None stands for zero."""
    if earlier is None:
        return later
    return earlier if later is None else earlier + later


def of_domains(gradient: Tensor, domains: int) -> Tensor:
    """Gradients `[D, S]` to sums that so many domains have, D of them or one for all."""
    return gradient if len(gradient) == domains else gradient.sum(0, keepdim=True)
