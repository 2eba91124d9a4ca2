"""Defines the one interface of all bound methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.operators.interval import Interval

Weigh = Callable[[Tensor], Tensor]
"""A function from the best lower bounds `[D, S]` so far to the weight of each row's bound.

The weight `[D, S]` is 0 for a row that is decided already.
"""


def ones(best: Tensor) -> Tensor:
    """Return equal weights `[D, S]` for all rows."""
    return torch.ones_like(best)


Stop = Callable[[Tensor, Mapping[str, Interval]], bool]
"""A function of the best lower bounds `[D, S]` and the bounds of the start nodes so far.

It returns True where no further iteration is needed.
"""


def never(best: Tensor, bounds: Mapping[str, Interval]) -> bool:
    """Return False, so that a method with this `stop` runs all its iterations."""
    return False


@dataclass(frozen=True)
class MethodOptions:
    """The options of a method, beside the problem and the rows. A method may ignore them.

    iterations     how many steps an ascent takes at most
    learning_rate  the size of its first step
    decay          the factor from the size of one step to that of the next
    weigh          computes from the best lower bounds `[D, S]` so far how much each row counts in
                   the next step
    stop           called after every iteration, which is the last one where it returns True
    """

    iterations: int = 20
    learning_rate: float = 0.2
    decay: float = 0.98
    weigh: Weigh = ones
    stop: Stop = never


@dataclass(frozen=True)
class RowBounds:
    """The result of a method.

    lower   `[D, S]`, lower bounds of the rows on every domain
    bounds  the bounds of every start node, by name; None where the method bounds no start node
    """

    lower: Tensor
    bounds: Mapping[str, Interval] | None


@dataclass(frozen=True)
class BoundMethod:
    """A bound method: an entry of the table in `table.py`.

    name         the word of `--method`
    bound        computes, for a problem and rows `[D or 1, S, *output_shape]` of its target, lower
                 bounds of the rows that hold at every point of the region, whatever the options are
    sides_apart  True where lower and upper bounds of the outputs are computed one after the other,
                 because rows that are bounded together share parameters of the start nodes
    """

    name: str
    bound: Callable[[Problem, DenseRows, MethodOptions], RowBounds]
    sides_apart: bool = False
