"""Encloses the values that rounding can give in a network at points, for any order of its sums.

A value that a network computes in a type of unit roundoff u lies in a box around the exact one.
The box is carried from node to node: interval arithmetic takes it through an operator, and the
operator's own rounding widens it. A sum of k terms adds at most γ_k·Σ|terms|, with
γ_k = k·u/(1 − k·u) (Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapters 3, 4).

Beside the box goes the size of a value: the sum of |terms| before anything cancels. An operator
that ONNX Runtime computes by another formula than the graph, such as a variance by E[x²] − E[x]²,
has terms of that size, too, so that the box holds its result as well.

Boxes serve to judge finite numbers that ONNX Runtime gave. So a rounded box that reaches outside of
where the next operator is defined, as that of a variance of nearly equal numbers does, is cut to
where it is defined (`defined_ranges.py`): beyond it, ONNX Runtime would have given NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from boundmesh.graph.forward import tensor
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES, Interval
from boundmesh.operators.node import Node
from boundmesh.operators.rounding import SMALLEST, UNITS, gamma
from boundmesh.read.defined_ranges import range_of, with_overflow

# Another formula of the same value may do so many operations more than the operator.
MORE = 8

# The errors of library functions, relative and absolute, in units of u.
# An exponential may be taken of x − max(x), which is rounded by up to 88 units where exp does not
# underflow.
FUNCTIONS = {
    "exp": (128.0, 0.0),
    "log": (16.0, 0.0),
    "sqrt": (8.0, 0.0),
    "reciprocal": (8.0, 0.0),
    "leaky_relu": (8.0, 0.0),
    "abs": (0.0, 0.0),
}
# The errors of all other functions. ONNX Runtime computes sigmoid, tanh and erf by rational
# functions, whose error is absolute.
ANY_FUNCTION = (16.0, 16.0)


# The largest number of every type.
LARGEST = {"bfloat16": 3.3895e38, "float16": 65504.0, "float32": 3.4028e38, "float64": 1.7976e308}


@dataclass(frozen=True)
class Precision:
    """The float type that a network runs in.

    unit      the unit roundoff
    smallest  the smallest normal number
    largest   the largest number
    """

    unit: float
    smallest: float
    largest: float


PRECISIONS = {
    name: Precision(UNITS[name], SMALLEST[name], largest) for name, largest in LARGEST.items()
}


@dataclass(frozen=True)
class RoundedValue:
    """An enclosure of a rounded value.

    box   `[N or 1, *shape]`: both ends are the same tensor where the value is known exactly
    size  `[N or 1, *shape]`: at least as large as the magnitude of every value in the box
    """

    box: Interval
    size: Tensor

    @property
    def exact(self) -> bool:
        return self.box.lower is self.box.upper


def known(value: Tensor) -> RoundedValue:
    return RoundedValue(Interval(value, value), value.abs())


def as_shown(value: Tensor, precision: Precision) -> RoundedValue:
    """Enclose what the next operator reads where ONNX Runtime gave `value` as an output.

    For operators without a kernel of a type narrower than float32, it computes in float32, and
    rounds a value to the narrow type as an output, but not always in front of the next operator.
    """
    if precision.unit <= UNITS["float32"]:
        return known(value)
    error = precision.unit * value.abs() + precision.smallest
    return RoundedValue(Interval(value - error, value + error), value.abs() + error)


def boxes(
    graph: Graph,
    weights: Mapping[str, Tensor],
    x: Tensor,
    precision: Precision,
    given: Mapping[str, Tensor] | None = None,
) -> Iterator[tuple[Node, Interval]]:
    """Yield each node and the box `[N or 1, *shape]` of its values at x `[N, *input_shape]`.

    Where `given` holds what the network computed for a node, the nodes after it start from that,
    so their boxes hold the rounding of what lies between alone. All is float64.
    """
    given = given or {}
    last = {name: node.name for node in graph.nodes for name in node.inputs}
    values = {graph.input: known(x.reshape(-1, *graph[graph.input].shape))}
    for node in graph.nodes:
        if node.op != "input":
            own_weights = [weights[name] for name in node.weights]
            sizes = [size_of(graph, name, weights[name]) for name in node.weights]
            depth = max((graph.formed[name].depth for name in node.weights if name in graph.formed),
                        default=0)  # fmt: skip
            operands = [values[name] for name in node.inputs]
            value = rounded_value(node, own_weights, sizes, depth, operands, precision)
            yield node, value.box
            values[node.name] = (
                as_shown(given[node.name], precision) if node.name in given else value
            )
        for name in {name for name in node.inputs if last[name] == node.name}:
            del values[name]


def size_of(graph: Graph, name: str, weight: Tensor) -> Tensor:
    """Return a weight's size: |weight|, or more if it came from sums that may have cancelled."""
    formed = graph.formed.get(name)
    if formed is None or formed.size is None:
        return weight.abs()
    return tensor(np.asarray(formed.size, np.float64)).expand(weight.shape)


def rounded_value(
    node: Node,
    weights: Sequence[Tensor],
    sizes: Sequence[Tensor],
    depth: int,
    operands: Sequence[RoundedValue],
    precision: Precision,
) -> RoundedValue:
    """Enclose an operator's value, as the network may compute it, from enclosed operands.

    `sizes` are those of the weights, which the network itself may compute in `depth` operations.
    """
    rule = RULES[node.op]
    if node.op == "limited":
        # A limit holds for exact numbers; what rounding adds may exceed it.
        return operands[0]
    if all(operand.exact for operand in operands):
        value = rule.forward(node, weights, *(operand.box.lower for operand in operands))
        box = Interval(value, value)
    else:
        box = range_of(node, weights, [operand.box for operand in operands])
    steps = roundings(node, weights, operands) + depth
    reach = torch.maximum(box.lower.abs(), box.upper.abs())
    if not steps:
        return RoundedValue(box, reach)
    size = reach
    if rule.affine or node.op in SIZES:
        size = torch.maximum(reach, SIZES.get(node.op, of_absolutes)(node, sizes, operands))
        # The graph's own value is rounded, too.
        share = gamma(steps + MORE, precision.unit) + gamma(steps + MORE, UNITS["float64"])
        error = share * size
    else:
        relative, absolute = FUNCTIONS.get(node.op, ANY_FUNCTION)
        error = precision.unit * (relative * reach + absolute)
        if node.attributes.get("formula") == "log of sigmoid":
            # The sigmoid 1/(1 + exp(x)) has an absolute error, and the logarithm divides by it.
            error = error + 2 * precision.unit * ANY_FUNCTION[1] * (1 + operands[0].box.upper.exp())
        if depth:
            error = error + gamma(depth, precision.unit) * sizes[0]
    # What is smaller than the smallest normal number may be lost altogether.
    error = error + (steps + MORE) * precision.smallest
    lower = box.lower - error
    if rule.least is not None and node.op not in SIZES:
        # A library function gives no number below its least one, but a square that another formula
        # computes as a difference may.
        lower = lower.clamp(min=rule.least(node))
    widened = with_overflow(Interval(lower, box.upper + error), size, precision.largest)
    return RoundedValue(widened, size + error)


def roundings(node: Node, weights: Sequence[Tensor], operands: Sequence[RoundedValue]) -> int:
    """Return how many roundings one neuron's own value passes; 0 where the operator is exact."""
    rule = RULES[node.op]
    if rule.affine:
        return rule.lengths(node, weights).forward
    if rule.rounded is None:
        return 1
    # The number is the same at all points.
    first = (operand.box.take(slice(0, 1)) for operand in operands)
    sources = rule.rounded(node, tuple(first))
    return max((source.forward for source in sources), default=0)


Size = Callable[[Node, Sequence[Tensor], Sequence[RoundedValue]], Tensor]


def of_absolutes(node: Node, sizes: Sequence[Tensor], operands: Sequence[RoundedValue]) -> Tensor:
    """Return the size of a result as the operator applied to the operands' sizes."""
    return RULES[node.op].forward(node, sizes, *(operand.size for operand in operands)).abs()


def of_both(node: Node, sizes: Sequence[Tensor], operands: Sequence[RoundedValue]) -> Tensor:
    """Return the size of a result as the sum of both operands' sizes."""
    return operands[0].size + operands[1].size


def of_power(node: Node, sizes: Sequence[Tensor], operands: Sequence[RoundedValue]) -> Tensor:
    """Return `size^p` for p ≥ 1, as a power of a difference expands into terms of that size."""
    size = operands[0].size
    exponent = float(node["exponent"])
    return size.pow(exponent) if exponent >= 1 else torch.zeros_like(size)


# These functions compute the size of a result from the operands' sizes. Affine operators use
# absolute values instead.
SIZES: dict[str, Size] = {
    "subtract": of_both,
    "multiply": of_absolutes,
    "matmul": of_absolutes,
    "power": of_power,
}
