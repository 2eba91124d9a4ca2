"""Defines an operator as a record of rules, and `RULES`, the table of all operators.

A rule is a pure function. It takes a node (shapes and attributes), the node's weights as tensors,
and values, boxes or rows whose first dim counts domains. No rule depends on devices, sharding,
tiles or bound methods. A rule applied to a slice of rows or domains gives that slice of its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from boundmesh.kernels import fused_rows
from boundmesh.kernels.sums import added
from boundmesh.operators.inner_products import inner as inner
from boundmesh.operators.inner_products import signed_inner, signed_product
from boundmesh.operators.node import Node
from boundmesh.operators.partition import Partition
from boundmesh.operators.rounding import Lengths, Rounded

Weights = Sequence[Tensor]


@dataclass(frozen=True)
class Interval:
    """Elementwise bounds `lower ≤ value ≤ upper`, each of shape `[D, *shape]`."""

    lower: Tensor
    upper: Tensor

    def to(self, device: torch.device) -> Interval:
        """Return the interval with both ends on `device`."""
        return Interval(self.lower.to(device), self.upper.to(device))

    def take(self, which: Tensor | slice) -> Interval:
        """Return the bounds of the domains that `which` selects."""
        return Interval(self.lower[which], self.upper[which])


@dataclass(frozen=True)
class Pulled:
    """Rows after they were pulled back through one operator.

    coefficients  one tensor `[D, S, *input_shape]` per input of the operator
    bias          `[D, S]`, the constant that the operator adds to each row; None stands for zero

    Two inputs may share one tensor of coefficients, so callers must not write to them.
    """

    coefficients: tuple[Tensor, ...]
    bias: Tensor | None = None

    @property
    def only(self) -> Tensor:
        """The coefficients of an operator that has exactly one input."""
        (coefficients,) = self.coefficients
        return coefficients

    def onto(self, bias: Tensor | None) -> Pulled:
        """Return the same coefficients with `bias`, from an earlier step, added to their bias."""
        return Pulled(self.coefficients, added(bias, self.bias))


class Relaxation(Protocol):
    """The linear bounds of a nonlinear operator, as `relax` returns them.

    `pull` replaces rows A on the output f(x) by rows on the inputs, so that

        ⟨A, f(x)⟩ ≥ Σᵢ ⟨coefficients[i], xᵢ⟩ + bias        for every x in the boxes.

    Most operators return `Lines`. An operator whose lines are too many to be stored one by one
    returns a class of its own.
    """

    def pull(self, rows: Tensor) -> Pulled: ...


@dataclass(frozen=True)
class Lines:
    """A line below and a line above a nonlinear operator on its bounds.

        Σᵢ lower_slopes[i]·xᵢ + lower_intercept ≤ f(x) ≤ Σᵢ upper_slopes[i]·xᵢ + upper_intercept

    lower_slopes     one tensor `[D, R, *input_shape]` per input
    upper_slopes     one tensor `[D, R, *input_shape]` per input
    lower_intercept  `[D, R, *shape]`; None stands for zero
    upper_intercept  `[D, R, *shape]`; None stands for zero
    reduced          the axis of the input that the operator reduces, or None

    R is 1 where all rows share the lines, and S where each row has lines of its own.
    """

    lower_slopes: tuple[Tensor, ...]
    upper_slopes: tuple[Tensor, ...]
    lower_intercept: Tensor | None = None
    upper_intercept: Tensor | None = None
    reduced: int | None = None

    def pull(self, rows: Tensor) -> Pulled:
        """Pull rows `[D, S, *shape]` back through the lines; a lower bound stays a lower bound.

        A coefficient ≥ 0 is multiplied with the line below, a coefficient < 0 with the line above
        (CROWN, arXiv 1811.00866):
            ⟨A, f(x)⟩ ≥ ⟨A⁺·lower_slopes + A⁻·upper_slopes, x⟩
                        + ⟨A⁺, lower_intercept⟩ + ⟨A⁻, upper_intercept⟩
        """
        if self.lower_intercept is None and self.reduced is None and len(self.lower_slopes) == 1:
            below, above = self.lower_slopes[0], self.upper_slopes[0]
            intercept = self.upper_intercept
            if fused_rows.applies(rows, below, above, intercept):
                coefficients, bias = fused_rows.pull(rows, below, above, intercept)
                return Pulled((coefficients,), bias)
        wide = rows if self.reduced is None else rows.unsqueeze(self.reduced + 2)
        bias = signed_inner(rows, self.lower_intercept, self.upper_intercept)
        pairs = zip(self.lower_slopes, self.upper_slopes, strict=True)
        return Pulled(tuple(signed_product(wide, below, above) for below, above in pairs), bias)


@dataclass(frozen=True)
class Product:
    """How an operator multiplies its input by its first weight and adds its second, the bias.

    axis        the axis of the features, which is the same in the input and the output; −1 is the
                last axis
    output_dim  the dim of the first weight that counts output features; the other one of dims 0
                and 1 counts input features
    divisible   True if rows and boxes can be multiplied with parts of the weight, where each part
                holds a contiguous range of the output features
    """

    axis: int
    output_dim: int = 0
    divisible: bool = False

    def output_axis(self, node: Node) -> int:
        """Return the axis of the node's shape that counts output features."""
        return self.axis % len(node.shape)

    def input_axis(self, node: Node) -> int:
        """Return the axis of the input's shape that counts input features."""
        return self.axis % len(node.input_shapes[0])


def exact(node: Node, weights: Weights) -> Lengths:
    """Return the roundings of an affine operator that never rounds: none."""
    return Lengths()


@dataclass(frozen=True)
class Operator:
    """The rules of one op.

    An affine operator has the rule `pull`. Every other operator has `relax`, `unstable` and
    `initial` instead.

    forward(node, weights, *values)            values `[D, *input_shape]` → `[D, *shape]`
    interval(node, weights, *boxes)            Interval of each input → Interval of the output
    pull(node, weights, rows)                  rows `[D, S, *shape]` → Pulled, so that
                                               ⟨rows, f(x)⟩ = Σᵢ ⟨coefficients[i], xᵢ⟩ + bias
    pull_units(node, weights, index, sign)     the same for S unit rows `sign[s]·e_index[s]` and
                                               D = 1 (index, sign: `[S]`); returns None where it
                                               would save nothing. The rule of a linear node also
                                               takes a part of W and the part's first output
    relax(node, boxes, alpha)                  Interval of each input, α in [0, 1] → Relaxation
                                               (Lines), sound at every α `[D, R, *alpha_shape]`
    initial(node, boxes)                       the α, `[D, *alpha_shape]`, that CROWN uses
    unstable(node, boxes)                      mask `[D, *alpha_shape]` of the unstable neurons:
                                               their lines are not exact, so α, branching and
                                               rows for their bounds matter
    lengths(node, weights)                     the roundings of an affine operator
    rounded(node, boxes)                       the sources of rounding of a nonlinear operator
    split_point(node)                          the point where a piecewise-linear operator bends:
                                               a float, or a float64 array of the node's shape
    slope_below(node)                          s of a function that is x above zero and s·x below
    concave                                    True if α is the slope of the line above, not of
                                               the line below

    product                                    how the operator multiplies by its first weight;
                                               None if it does not
    keeps_box                                  True if the operator shifts or scales each neuron
                                               alone, so that the image of a box is a box
    exact_on_box                               True if each output is one sum of inputs, so that
                                               the interval of a box is the exact range
    partition(node, cut)                       the partition of the output among ranks when the
                                               inputs are partitioned as `cut` and every rank can
                                               work on its piece alone; None where it cannot
    piece_attributes(node, axis, length)       the attributes that change when the operator
                                               computes only `length` neurons along an axis
    is_identity(node, weights)                 True if the output equals the input (weights are
                                               numpy arrays)
    merged(first, second)                      the attributes of one node that does what `first`
                                               and then `second`, of the same op, do
    keeps_order(node)                          True if the operator keeps the row-major order of
                                               neurons, so that a reshape can replace it
    declares_shape                             True if the node's shape determines the result
    constant                                   "factor" if the one weight multiplies the input
                                               element by element, "offset" if it is added

    `alpha_shape` is the shape of the first input.

    rising     True if no output falls when an input grows. Rounding then moves an end of an
               interval in proportion to that end alone.
    by_blocks  True if rows are pulled back by `matmul.mm` wherever its kernel can be used
    """

    name: str
    forward: Callable[..., Tensor]
    interval: Callable[..., Interval]
    pull: Callable[..., Pulled] | None = None
    pull_units: Callable[..., Pulled | None] | None = None
    relax: Callable[..., Relaxation] | None = None
    initial: Callable[..., Tensor] | None = None
    unstable: Callable[..., Tensor] | None = None
    split_point: Callable[[Node], float | np.ndarray] | None = None
    slope_below: Callable[[Node], float] | None = None
    lengths: Callable[[Node, Weights], Lengths] = exact
    rounded: Callable[[Node, tuple[Interval, ...]], tuple[Rounded, ...]] | None = None
    rising: bool = False
    by_blocks: bool = False
    concave: bool = False
    product: Product | None = None
    keeps_box: bool = False
    exact_on_box: bool = False
    partition: Callable[[Node, Partition], Partition | None] | None = None
    piece_attributes: Callable[[Node, int, int], Mapping[str, Any]] | None = None
    is_identity: Callable[[Node, Sequence[np.ndarray]], bool] | None = None
    merged: Callable[[Node, Node], Mapping[str, Any]] | None = None
    keeps_order: Callable[[Node], bool] | None = None
    declares_shape: bool = False
    constant: Literal["factor", "offset"] | None = None

    @property
    def affine(self) -> bool:
        return self.pull is not None


RULES: dict[str, Operator] = {}


def register(operator: Operator) -> Operator:
    """Add an operator to `RULES`. Raises ValueError if the name is already registered."""
    if operator.name in RULES:
        raise ValueError(f"operator '{operator.name}' is registered twice")
    RULES[operator.name] = operator
    return operator


def same_shape(node: Node, weights: Sequence[np.ndarray]) -> bool:
    """Identity rule of an operator that returns its input unchanged if the shape stays the same."""
    return True


def same_partition(node: Node, cut: Partition) -> Partition:
    """Partition rule of an operator that works neuron by neuron: the output is cut as the input."""
    return cut


def other_axis(node: Node, cut: Partition) -> Partition | None:
    """Partition rule of an operator that works along the attribute `axis`.

    The cut may lie along every other axis. The rule returns None for a cut along `axis` itself.
    """
    return None if cut.axis == node["axis"] else cut


def elementwise(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Make the forward rule of a function that is applied to each element of one input."""

    def forward(node: Node, weights: Weights, x: Tensor) -> Tensor:
        return function(x)

    return forward


def monotone(function: Callable[..., Tensor]) -> Callable[..., Interval]:
    """Make the interval rule of a nondecreasing operator: `[f(lower), f(upper)]`."""

    def interval(node: Node, weights: Weights, *boxes: Interval) -> Interval:
        return Interval(
            function(node, weights, *(box.lower for box in boxes)),
            function(node, weights, *(box.upper for box in boxes)),
        )

    return interval


def pull_lines(lines: Relaxation, rows: Tensor) -> Pulled:
    """Return `lines.pull(rows)`."""
    return lines.pull(rows)
