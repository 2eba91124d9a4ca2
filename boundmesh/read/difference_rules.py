"""Makes nodes that compute how the outputs of two paired nodes differ from how their inputs differ.

A value v of the first network and w of the second differ by d = w − v, exactly; this holds for the
values that the networks compute with rounding, too. So what a node computes from differences must
be charged with the rounding of both networks. Nodes that round have weights here, whose sizes
(`Formed`) are those of both networks together: rounding is charged relative to sizes.

    linear, convolution, scale   W'w + b' − (Wv + b) = W'd + (W' − W)v + (b' − b)
    sums                         op(1·d + 0·v), where both factors have the size 4·terms
    moves                        op(d)
    functions of one variable    change(v, d, w)

Where the second network may overflow, a size exceeds the largest number as well. At a product, the
sum of absolute values there is at most |W'|·|d| + (|W'|·|v| + |b'|), of which the sizes hold 4 and
4/3 times; so it is at most the larger one of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from boundmesh.graph.build import Builder
from boundmesh.graph.constant import Constant, negated, sum_of
from boundmesh.graph.formed import EXACT, UPWARD, Formed, size_of
from boundmesh.operators.change import WHOLE_LINE
from boundmesh.operators.node import Node
from boundmesh.operators.operator import RULES

OF_CHANGE, OF_WEIGHTS = 4.0, 4.0 / 3.0
"""The factors of the sizes of the two terms of a product. Their inverses add up to 1."""

Rule = Callable[[Builder, Node, Node, Sequence[Node | None]], Node | None]
"""Maps two paired nodes and the differences of their inputs to the difference of their outputs.

A difference of None is zero, exactly and however the networks round.
"""


def constants(build: Builder, node: Node) -> list[Constant]:
    return [
        Constant(name, build.weights[name], build.formed.get(name, EXACT)) for name in node.weights
    ]


def sized(constant: Constant, factor: float) -> Constant:
    """Return the constant with its size multiplied by a factor."""
    size = size_of(constant.array, constant.formed) * (factor * UPWARD)
    return Constant("", constant.array, Formed(size, max(1, constant.formed.depth)))


def difference_of(build: Builder, node: Node, twin: Node) -> list[Constant]:
    """Return the weights of `twin` minus those of `node`; a missing bias is zero."""
    differences = []
    for first, second in zip_longest(constants(build, node), constants(build, twin)):
        if first is None or second is None:
            differences.append(second if first is None else negated(first))
        else:
            differences.append(sum_of(second, negated(first)))
    return differences


def same_numbers(build: Builder, node: Node, twin: Node) -> bool:
    """Return True if both nodes have the same weights, and none of these was computed."""
    names = set(node.weights) | set(twin.weights)
    return not names & build.formed.keys() and all(
        np.array_equal(build.weights[first], build.weights[second])
        for first, second in zip(node.weights, twin.weights, strict=True)
    )


def multiple(build: Builder, x: Node, factor: float, size: float) -> Node:
    """Return `factor·x`, charged as if the factor were `size`."""
    constant = Constant("", np.asarray(factor, np.float32), Formed(np.asarray(size), 1))
    return build.add("scale", x, weights=(constant,))


def zero(build: Builder, x: Node) -> Node:
    """Return a node that is zero and has the shape of x."""
    return build.add("scale", x, weights=(Constant("", np.zeros((), np.float32)),))


def carried(build: Builder, x: Node, d: Node | None, terms: int) -> Node:
    """Return d, charged with the rounding of sums of `terms` numbers x and x + d."""
    size = 4.0 * max(1, terms)
    nothing = multiple(build, x, 0.0, size)
    return nothing if d is None else build.add("add", multiple(build, d, 1.0, size), nothing)


def of_product(build: Builder, node: Node, twin: Node, differences: Sequence[Node | None]) -> Node:
    """Return `W'd + (W' − W)v + (b' − b)`."""
    (d,), x = differences, build.nodes[node.inputs[0]]
    moved = [sized(weight, OF_WEIGHTS) for weight in difference_of(build, node, twin)]
    by_weights = build.add(node.op, x, weights=moved, **node.attributes)
    if d is None:
        return by_weights
    factor = sized(constants(build, twin)[0], OF_CHANGE)
    return build.add("add", build.add(node.op, d, weights=(factor,), **node.attributes), by_weights)


def of_shift(build: Builder, node: Node, twin: Node, differences: Sequence[Node | None]) -> Node:
    (d,), x = differences, build.nodes[node.inputs[0]]
    (moved,) = difference_of(build, node, twin)
    return build.add("shift", carried(build, x, d, 1), weights=(sized(moved, OF_CHANGE),))


def of_constant(
    build: Builder, node: Node, twin: Node, differences: Sequence[Node | None]
) -> Node | None:
    if same_numbers(build, node, twin):
        return None
    return build.add(node.op, weights=difference_of(build, node, twin))


def of_sum(build: Builder, node: Node, twin: Node, differences: Sequence[Node | None]) -> Node:
    terms = RULES[node.op].lengths(node, ()).forward
    inputs = [
        carried(build, build.nodes[name], d, terms)
        for name, d in zip(node.inputs, differences, strict=True)
    ]
    return build.add(node.op, *inputs, **node.attributes)


def of_move(
    build: Builder, node: Node, twin: Node, differences: Sequence[Node | None]
) -> Node | None:
    """Return the same move of differences. What a padding adds does not differ."""
    if all(d is None for d in differences):
        return None
    inputs = [
        zero(build, build.nodes[name]) if d is None else d
        for name, d in zip(node.inputs, differences, strict=True)
    ]
    attributes: Mapping[str, Any] = node.attributes
    if node.op == "pad":
        attributes = {**attributes, "value": 0.0}
    shape = node.shape if RULES[node.op].declares_shape else None
    return build.add(node.op, *inputs, shape=shape, **attributes)


def of_function(
    build: Builder, node: Node, twin: Node, differences: Sequence[Node | None]
) -> Node | None:
    (d,), x = differences, build.nodes[node.inputs[0]]
    if d is None and node.op in UNROUNDED:
        return None
    inputs = x, zero(build, x) if d is None else d, build.nodes[twin.inputs[0]]
    return build.add("change", *inputs, weights=constants(build, node), of=node)


UNROUNDED = frozenset(("relu", "abs", "at_least", "at_most", "max", "max_pool"))
"""Nonlinear operators that never round, so that equal inputs have equal outputs."""

DIFFERENCES: dict[str, Rule] = {
    **dict.fromkeys(("linear", "conv", "conv_transpose", "scale"), of_product),
    **dict.fromkeys(("reshape", "transpose", "expand", "slice", "gather", "concat"), of_move),
    **dict.fromkeys(("add", "subtract", "sum"), of_sum),
    **dict.fromkeys(WHOLE_LINE, of_function),
    "pad": of_move,
    "shift": of_shift,
    "constant": of_constant,
}  # fmt: skip
"""The rule of each operator that has one."""
