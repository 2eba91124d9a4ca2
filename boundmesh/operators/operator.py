"""What an operator is: its rules, side by side, and the table that holds them all.

A rule is a pure function of a node (its shapes and attributes), the node's weights as tensors,
and tensors with the domain dim in front. No rule knows of devices, sharding, tiles or methods:
a rule on a slice of rows or of domains is the slice of the rule.
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
        """Both ends on `device`."""
        return Interval(self.lower.to(device), self.upper.to(device))

    def take(self, which: Tensor | slice) -> Interval:
        """The bounds of the domains at `which`."""
        return Interval(self.lower[which], self.upper[which])


@dataclass(frozen=True)
class Pulled:
    """Rows after one operator: coefficients `[D, S, *input_shape]` of each input and the bias
    `[D, S]` they picked up (None for zero). Two inputs may share one tensor: write to none."""

    coefficients: tuple[Tensor, ...]
    bias: Tensor | None = None

    @property
    def only(self) -> Tensor:
        """The coefficients of the one input."""
        (coefficients,) = self.coefficients
        return coefficients

    def onto(self, bias: Tensor | None) -> Pulled:
        """The same with the bias added to an earlier one."""
        return Pulled(self.coefficients, added(bias, self.bias))


class Relaxation(Protocol):
    """What `relax` gives: linear bounds of a nonlinear operator that rows can be pulled through,

        ⟨A, f(x)⟩ ≥ Σᵢ ⟨coefficients[i], xᵢ⟩ + bias        for every x in the boxes.

    `Lines`, unless the lines are too many to be written down one by one.
    """

    def pull(self, rows: Tensor) -> Pulled: ...


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

    def pull(self, rows: Tensor) -> Pulled:
        """Rows `[D, S, *shape]` back through the lines, a lower bound staying a lower bound.

        A coefficient ≥ 0 takes the line below, one < 0 the line above (CROWN, arXiv 1811.00866):
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
    """How an operator multiplies its input by its first weight, and adds its second, the bias.

    `axis` is the axis of the features that are multiplied, of the input as of the output; −1 is
    the last. `output_dim` is the dim of the first weight that its outputs lie along; its inputs lie
    along the other of dims 0 and 1. `divisible` products of rows and boxes can be computed from
    parts of the weight, each with a run of the outputs.
    """

    axis: int
    output_dim: int = 0
    divisible: bool = False

    def output_axis(self, node: Node) -> int:
        """The axis of the node's shape that its outputs are counted along."""
        return self.axis % len(node.shape)

    def input_axis(self, node: Node) -> int:
        """The axis of the input's shape that its inputs are counted along."""
        return self.axis % len(node.input_shapes[0])


def exact(node: Node, weights: Weights) -> Lengths:
    """The lengths of an affine operator that rounds nothing."""
    return Lengths()


@dataclass(frozen=True)
class Operator:
    """The rules of one op; `pull` for an affine operator, else `relax`, `undecided`, `initial`.

    forward(node, weights, *values)            values `[D, *input_shape]` → `[D, *shape]`
    interval(node, weights, *boxes)            Interval of each input → Interval of the output
    pull(node, weights, rows)                  rows `[D, S, *shape]` → Pulled, so that
                                               ⟨rows, f(x)⟩ = Σᵢ ⟨coefficients[i], xᵢ⟩ + bias
    pull_units(node, weights, index, sign)     the same for S rows `sign[s]·e_index[s]` of D = 1
                                               (index, sign: `[S]`); None where it saves nothing.
                                               A linear node's takes a part of W, and its first
                                               output, too
    relax(node, boxes, alpha)                  Interval of each input, α in [0, 1] → Relaxation
                                               (Lines), sound at every α `[D, R, *alpha_shape]`
    initial(node, boxes)                       the α, `[D, *alpha_shape]`, that CROWN uses
    undecided(node, boxes)                     mask `[D, *alpha_shape]`: where the lines are not
                                               exact, so that α, branching and rows matter
    lengths(node, weights)                     of an affine operator: its roundings
    rounded(node, boxes)                       of a nonlinear one: its sources of rounding
    split_point(node)                          where a piecewise-linear operator bends: a float, or
                                               an array of float64 with the node's shape
    slope_below(node)                          s of a function that is x above zero and s·x below
    concave                                    α is the slope of the line above, not below, of an
                                               operator that bends

    product                                    how it multiplies by its first weight, if it does
    keeps_box                                  it moves or stretches neurons one by one, so that
                                               the image of a box is a box
    exact_on_box                               it is one sum per neuron, so that on a box its
                                               interval is its range
    partition(node, cut)                       the cut of its output where it works within the
                                               pieces of inputs that are cut so; None where it
                                               does not
    piece_attributes(node, axis, length)       the attributes that differ where it works on
                                               `length` of its output's neurons along an axis
    is_identity(node, weights)                 True where it changes nothing (weights are arrays)
    merged(first, second)                      the attributes of `second` applied to what `first`,
                                               a node of the same op, is applied to
    keeps_order(node)                          True where it keeps the row-major order of neurons,
                                               so that a reshape does the same
    declares_shape                             the node's shape decides its result
    constant                                   "factor" or "offset": what its one weight is to the
                                               input, element by element

    `alpha_shape` is the shape of the first input. `rising` tells that no output ever falls when an
    input grows: then rounding moves an end of an interval in proportion to that end alone.
    `by_blocks` tells that rows are pulled back by `matmul.mm` wherever its kernel can be used.
    """

    name: str
    forward: Callable[..., Tensor]
    interval: Callable[..., Interval]
    pull: Callable[..., Pulled] | None = None
    pull_units: Callable[..., Pulled | None] | None = None
    relax: Callable[..., Relaxation] | None = None
    initial: Callable[..., Tensor] | None = None
    undecided: Callable[..., Tensor] | None = None
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
    """Enter an operator into `RULES`; raises ValueError for a second one of the same name."""
    if operator.name in RULES:
        raise ValueError(f"operator '{operator.name}' is registered twice")
    RULES[operator.name] = operator
    return operator


def same_shape(node: Node, weights: Sequence[np.ndarray]) -> bool:
    """Identity rule of an operator whose result has its operand's shape only where it is equal."""
    return True


def same_partition(node: Node, cut: Partition) -> Partition:
    """Partition rule of an operator that works neuron by neuron."""
    return cut


def other_axis(node: Node, cut: Partition) -> Partition | None:
    """Partition rule of an operator that works along `axis`."""
    return None if cut.axis == node["axis"] else cut


def elementwise(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Forward rule of a function of one value."""

    def forward(node: Node, weights: Weights, x: Tensor) -> Tensor:
        return function(x)

    return forward


def monotone(function: Callable[..., Tensor]) -> Callable[..., Interval]:
    """Interval rule of an operator that never falls: `[f(lower), f(upper)]`."""

    def interval(node: Node, weights: Weights, *boxes: Interval) -> Interval:
        return Interval(
            function(node, weights, *(box.lower for box in boxes)),
            function(node, weights, *(box.upper for box in boxes)),
        )

    return interval


def pull_lines(lines: Relaxation, rows: Tensor) -> Pulled:
    """`lines.pull(rows)`."""
    return lines.pull(rows)
