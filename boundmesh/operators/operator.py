"""Defines an operator as a record of rules, and `RULES`, the table of all operators.

A rule is a pure function. It takes a node (shapes and attributes), the node's weights as tensors,
and values, boxes or rows whose first dim counts domains. No rule depends on devices, sharding,
tiles or bound methods. A rule applied to a slice of rows or domains gives that slice of its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from boundmesh.operators.common_rules import Weights, exact
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Pulled, Relaxation
from boundmesh.operators.node import Node
from boundmesh.operators.partition import Partition
from boundmesh.operators.rounding import Lengths, Rounded
from boundmesh.operators.window_grid import Grid
from boundmesh.operators.windows import PulledWindows, Windows
from boundmesh.register import Register


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


@dataclass(frozen=True)
class Operator:
    """The rules of one op.

    An affine operator has the rule `pull`. Every other operator has `relax`, `unstable` and
    `initial` instead.

    forward(node, weights, *values)            values `[D, *input_shape]` → `[D, *shape]`
    interval(node, weights, *boxes)            Interval of each input → Interval of the output
    sized_interval(node, weights, box)         `interval` of a product, and the size that its
                                               roundings are relative to, `[D, *shape]`: the same
                                               sum over the absolute values of its terms. Without
                                               it the size is computed by `interval`
    pull(node, weights, rows)                  rows `[D, S, *shape]` → Pulled, so that
                                               ⟨rows, f(x)⟩ = Σᵢ ⟨coefficients[i], xᵢ⟩ + bias
    pull_units(node, weights, index, sign)     the same for S unit rows `sign[s]·e_index[s]` and
                                               D = 1 (index, sign: `[S]`); returns None where it
                                               would save nothing. The rule of a linear node also
                                               takes a part of W and the part's first output
    pull_windows(node, weights, windows)       `pull` for rows in windows → PulledWindows; returns
                                               None where the result has no windows. Rows become
                                               dense at an operator without this rule
    pulled_grid(node, windows)                 where the windows lie that rows in windows have at
                                               the input, after they passed the lines of a
                                               nonlinear operator that is not elementwise. `relax`
                                               then returns a `WindowRelaxation`. Rows become
                                               dense at such an operator without this rule, or
                                               where it returns None
    forward_windows(node, weights, values, grid, of_bias)
                                               the transpose of `pull_windows` of a product: Windows
                                               of the input → gradients to the rows in the windows
                                               `grid` of the output; `of_bias` `[D or 1, S]` are
                                               the gradients to the biases (None: zero).
                                               Without it rows are dense where gradients pass
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
    cut_point(node, box)                       a point of each box `[D, *shape]` at which a cut of
                                               the input may gain most: a jump, or where the
                                               function turns from convex to concave
    cut_gain(node, boxes, rows)                what a cut of each input in its middle may gain for
                                               rows `[D, S, *shape]` on the output: one tensor
                                               `[D, *input_shape]` per input. Operators whose lines
                                               are `Lines`, element by element, need no such rule

    joint_gain(node, boxes, rows, forms)       by how much the lines of `relax` at the `initial` α
                                               are too low for rows `[D, S, *shape]`, since the
                                               inputs are `AffineForms` of the same values:
                                               `[D, S]`, float64, ≥ 0

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
    longer(node)                               nodes of simpler operators that compute the same;
                                               the last of them has the name of the node
    constant                                   "factor" if the one weight multiplies the input
                                               element by element, "offset" if it is added

    `alpha_shape` is the shape of the first input.

    rising     True if no output falls when an input grows. Rounding then moves an end of an
               interval in proportion to that end alone.
    relative   True if the error of a value is relative to the value itself, as that of one product
               is. Rounding then moves an end of an interval in proportion to that end alone.
    jumps      True if the function is not continuous, so that any rounding can change its value
    smoothed(node, x, width)                   a smooth function near the operator's, which rises
                                               over `width` > 0 (as x, or broadcastable to it)
                                               where the operator jumps. An attack follows its
                                               gradient; no bound uses it. Every operator of one
                                               input that jumps has this rule
    keeps_rows True if rows pass to every input as they are, as those of a sum do
    mixes      True if an output depends on several elements of one input, although the output has
               the input's shape
    least(node)  the least value that the operator has, however it is rounded; None where unknown
    by_blocks  True if rows are pulled back by `matmul.mm` wherever its kernel can be used
    """

    name: str
    forward: Callable[..., Tensor]
    interval: Callable[..., Interval]
    sized_interval: Callable[..., tuple[Interval, Tensor]] | None = None
    pull: Callable[..., Pulled] | None = None
    pull_units: Callable[..., Pulled | None] | None = None
    pull_windows: Callable[[Node, Weights, Windows], PulledWindows | None] | None = None
    forward_windows: Callable[..., Tensor] | None = None
    pulled_grid: Callable[[Node, Windows], Grid | None] | None = None
    relax: Callable[..., Relaxation] | None = None
    initial: Callable[..., Tensor] | None = None
    unstable: Callable[..., Tensor] | None = None
    split_point: Callable[[Node], float | np.ndarray] | None = None
    slope_below: Callable[[Node], float] | None = None
    cut_point: Callable[[Node, Interval], Tensor] | None = None
    cut_gain: Callable[..., tuple[Tensor, ...]] | None = None
    joint_gain: Callable[..., Tensor] | None = None
    lengths: Callable[[Node, Weights], Lengths] = exact
    rounded: Callable[[Node, tuple[Interval, ...]], tuple[Rounded, ...]] | None = None
    rising: bool = False
    relative: bool = False
    jumps: bool = False
    smoothed: Callable[[Node, Tensor, Tensor], Tensor] | None = None
    keeps_rows: bool = False
    mixes: bool = False
    least: Callable[[Node], float | None] | None = None
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
    longer: Callable[[Node], tuple[Node, ...]] | None = None
    constant: Literal["factor", "offset"] | None = None

    @property
    def affine(self) -> bool:
        return self.pull is not None


RULES: Register[Operator] = Register("an operator")
register = RULES.register
