"""What an operator is: its rules, side by side, and the table that holds them all.

A rule is a pure function of a node (its shapes and attributes), the node's weights as tensors,
and tensors with the domain dim in front. No rule knows of devices, sharding, tiles or methods:
a rule on a slice of rows or of domains is the slice of the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.graph.graph import Node

Weights = Sequence[Tensor]


@dataclass(frozen=True)
class Interval:
    """Elementwise bounds `lower ≤ value ≤ upper`, each of shape `[D, *shape]`."""

    lower: Tensor
    upper: Tensor


@dataclass(frozen=True)
class Lines:
    """A line below and a line above a nonlinear operator on its bounds.

        Σᵢ lower_slopes[i]·xᵢ + lower_intercept ≤ f(x) ≤ Σᵢ upper_slopes[i]·xᵢ + upper_intercept

    One slope per input. Slopes have shape `[D, R, *input_shape]` and intercepts `[D, R, *shape]`,
    with R = 1 where all rows share the line and R = S where each row has its own. An intercept of
    None is zero. Where the operator reduces an axis, `reduced` names that axis of the input.
    """

    lower_slopes: tuple[Tensor, ...]
    upper_slopes: tuple[Tensor, ...]
    lower_intercept: Tensor | None = None
    upper_intercept: Tensor | None = None
    reduced: int | None = None


@dataclass(frozen=True)
class Pulled:
    """Rows after one affine operator: coefficients `[D, S, *input_shape]` of each input (None
    where the rows do not depend on it) and the bias `[D, S]` they picked up (None for zero)."""

    coefficients: tuple[Tensor | None, ...]
    bias: Tensor | None = None


@dataclass(frozen=True)
class Operator:
    """The rules of one op; `pull` for an affine operator, else `relax`, `undecided`, `initial`.

    forward(node, weights, *values)            values `[D, *input_shape]` → `[D, *shape]`
    interval(node, weights, *boxes)            Interval of each input → Interval of the output
    pull(node, weights, rows)                  rows `[D, S, *shape]` → Pulled, so that
                                               ⟨rows, f(x)⟩ = Σᵢ ⟨coefficients[i], xᵢ⟩ + bias
    pull_units(node, weights, index, sign)     the same for S rows `sign[s]·e_index[s]` of D = 1
                                               (index, sign: `[S]`), where a product can be saved
    relax(node, boxes, alpha)                  Interval of each input, α in [0, 1] → Lines; sound
                                               at every α. α has shape `[D, R, *alpha_shape]`
    initial(node, boxes)                       the α, `[D, *alpha_shape]`, that CROWN uses
    undecided(node, boxes)                     mask `[D, *alpha_shape]`: where the lines are not
                                               exact, so that α, branching and rows matter
    split_point(node)                          where a piecewise-linear operator bends (a float)

    `alpha_shape` is the shape of the first input.
    """

    name: str
    forward: Callable[..., Tensor]
    interval: Callable[..., Interval]
    pull: Callable[..., Pulled] | None = None
    pull_units: Callable[..., Pulled] | None = None
    relax: Callable[..., Lines] | None = None
    initial: Callable[..., Tensor] | None = None
    undecided: Callable[..., Tensor] | None = None
    split_point: Callable[[Node], float] | None = None

    @property
    def affine(self) -> bool:
        return self.pull is not None


RULES: dict[str, Operator] = {}


def register(operator: Operator) -> Operator:
    """Enter an operator into `RULES`; raises ValueError for a second one of the same name."""
    if operator.name in RULES:
        raise ValueError(f"operator '{operator.name}' is registered twice")
    RULES[operator.name] = operator
    return operator


def monotone(function: Callable[..., Tensor]) -> Callable[..., Interval]:
    """Interval rule of an operator that never falls: `[f(lower), f(upper)]`."""

    def interval(node: Node, weights: Weights, *boxes: Interval) -> Interval:
        return Interval(
            function(node, weights, *(box.lower for box in boxes)),
            function(node, weights, *(box.upper for box in boxes)),
        )

    return interval


def pull_lines(lines: Lines, rows: Tensor) -> Pulled:
    """Pull rows `[D, S, *shape]` back through lines so that a lower bound stays a lower bound.

    A coefficient ≥ 0 takes the line below, one < 0 the line above (CROWN, arXiv 1811.00866):
        ⟨A, f(x)⟩ ≥ ⟨A⁺·lower_slopes + A⁻·upper_slopes, x⟩
                    + ⟨A⁺, lower_intercept⟩ + ⟨A⁻, upper_intercept⟩
    """
    wide = rows if lines.reduced is None else rows.unsqueeze(lines.reduced + 2)
    positive = wide >= 0
    coefficients = tuple(
        wide * torch.where(positive, below, above)
        for below, above in zip(lines.lower_slopes, lines.upper_slopes, strict=True)
    )
    bias = None
    if lines.lower_intercept is not None:
        bias = inner(rows.clamp(min=0), lines.lower_intercept)
    if lines.upper_intercept is not None:
        above_bias = inner(rows.clamp(max=0), lines.upper_intercept)
        bias = above_bias if bias is None else bias + above_bias
    return Pulled(coefficients, bias)


def inner(rows: Tensor, values: Tensor) -> Tensor:
    """⟨rows, values⟩ over the neurons: `[D, S, *shape]` and `[D or 1, S or 1, *shape]` → `[D, S]`.

    In `values` a domain dim of 1 with a row dim of 1 means the same values in every domain.
    """
    if values.shape[:2] == (1, 1):
        return torch.matmul(rows.flatten(2), values.flatten())
    if values.shape[1] == 1:
        return torch.matmul(rows.flatten(2), values.flatten(2).mT).squeeze(2)
    return (rows * values).flatten(2).sum(2)
