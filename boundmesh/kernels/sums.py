"""Holds and adds sums `[D, S]` that rows collect on the way back, such as their biases.

D is the number of domains, or 1 for a sum that all domains share. None stands for zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

Later = TypeVar("Later", bound=Tensor | None)


@dataclass(frozen=True)
class Collected:
    """The sums that the rows of a tile collected on their way to a node.

    bias   `[D or 1, S]`, their constants
    error  `[D or 1, S]`, the most that rounding can have changed them
    due    sizes `[D or 1, places, C]`: the rounding of rows in windows at this node adds
           `⟨|A|, due⟩` to their error, and is not counted yet (None: it is counted)
    """

    bias: Tensor | None = None
    error: Tensor | None = None
    due: Tensor | None = None


def added(earlier: Tensor | None, later: Later) -> Tensor | Later:
    """Return `earlier + later`. None stands for zero."""
    if earlier is None:
        return later
    return earlier if later is None else earlier + later


def of_domains(gradient: Tensor, domains: int) -> Tensor:
    """Return the gradient `[D, S]` summed to the domain dim of the sums: D domains, or 1."""
    return gradient if len(gradient) == domains else gradient.sum(0, keepdim=True)
