"""What rounding can take from the bounds of rows, on a region.

A row travels back as `⟨A, value⟩ + bias` and is off by an error. At every node that it passes, the
error grows by `⟨|A|, E⟩`, with E of the node's shape:

    E = Σ over sources of rounding of (γ_pull(own) + γ_forward(network)) · size

The first factor counts what rows lose on their way back through the node, the second what the
network itself loses when it runs in floating point. Sizes are made of the largest absolute values
that can meet at a neuron, |W|·|x|max + |b| at a layer, so E is computed once for all rows of a
region. Intervals are widened by what their own computation and the network lose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from boundmesh.bounds.sweep.node_weights import NodeWeights, node_of_part, output_axis, product_of
from boundmesh.bounds.sweep.program import Program
from boundmesh.graph.forward import tensor
from boundmesh.kernels import fused_rows
from boundmesh.kernels.matmul import BLOCK_DEPTH, BLOCK_ROUNDINGS
from boundmesh.operators import RULES
from boundmesh.operators.inner_products import inner
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Interval, Weights
from boundmesh.operators.rounding import INFLATION, UNITS, Lengths, Rounded, Rounding, gamma

# The ends of an interval are made from a centre and a radius, which takes some roundings more than
# the operator itself.
OF_INTERVALS = 6


@dataclass
class Errors:
    """What rounding can take from rows on a region.

    at     the E of every node that rows lose something at, `[D or 1, 1, *shape]`
    reach  the largest absolute values of the target, whose rows may have inexact coefficients
    lost   `[D or 1]`, what underflow can take from any row (None: nothing)
    """

    rounding: Rounding
    at: dict[str, Sizes] = field(default_factory=dict)
    reach: dict[str, Tensor] = field(default_factory=dict)
    lost: Tensor | None = None

    def enter(self, name: str, error: Tensor | None, lost: Tensor | None) -> None:
        """Take up the E `[D or 1, *shape]` of a node, and what underflow can take there."""
        if error is not None:
            self.at[name] = Sizes.of(error)
        if lost is not None:
            self.lost = lost if self.lost is None else self.lost + lost

    def of_rows(self, name: str, rows: Tensor, onto: Tensor | None = None) -> Tensor | None:
        """What rows `[D, S, *shape]` lose at a node, `[D, S]`, added to `onto`."""
        error = self.at.get(name)
        return onto if error is None else error.of_rows(rows, onto)

    def of_units(self, name: str, index: Tensor) -> Tensor | None:
        """What rows of single neurons lose at their start node, `[D, S]`."""
        error = self.at.get(name)
        return None if error is None else error.above.flatten(1).index_select(1, index)


@dataclass(frozen=True)
class Sizes:
    """Sizes ≥ 0 that rows are summed with, `[D or 1, 1, *shape]`, and the same below zero: a kernel
    that adds up rows takes one of them for each sign of a coefficient."""

    above: Tensor
    below: Tensor

    @staticmethod
    def of(sizes: Tensor) -> Sizes:
        """From sizes `[D or 1, *shape]`."""
        above = sizes.unsqueeze(1).contiguous()
        return Sizes(above, -above)

    @torch.no_grad()
    def of_rows(self, rows: Tensor, onto: Tensor | None = None) -> Tensor:
        """`⟨|A|, sizes⟩` `[D, S]`, added to `onto`: rows `[D, S, *shape]`."""
        rows = rows.detach()
        if fused_rows.sums(rows, self.above, self.below):
            return fused_rows.signed_inner(rows, self.above, self.below, onto)
        return inner(rows.abs(), self.above, onto)


def magnitude(rows: Tensor, sizes: Tensor) -> Tensor:
    """`⟨|A|, sizes⟩` `[D, S]`: rows `[D, S, *shape]`, sizes `[D or 1, *shape]`."""
    return Sizes.of(sizes).of_rows(rows)


def lowered(
    lowest: Tensor,
    error: Tensor | None,
    errors: Errors | None,
    constants: Tensor | None = None,
) -> Tensor:
    """Bounds `[D, S]` less their error, and less what these subtractions themselves can lose: a few
    roundings of the bounds, and of `constants` that were added to them, and a share of the error
    that is far below its inflation. Gradients pass as if nothing was taken off."""
    if errors is None:
        return lowest
    with torch.no_grad():
        total = lowest.detach().abs()
        if constants is not None:
            total = total + constants.detach().abs()
        total = total.mul_(8 * errors.rounding.own)
        if error is not None:
            total = torch.add(total, error, alpha=INFLATION)
        if errors.lost is not None:
            total = total + errors.lost.unsqueeze(1)
    return lowest - total


@dataclass(frozen=True)
class Charge:
    """How the roundings of one node are counted.

    lengths    roundings of an affine node's value and of its rows
    joins      additions where rows of several readers meet
    additions  additions of biases on the whole way of a row
    depth      roundings that its weights have passed before
    sizes      of weights that were computed, what their roundings are relative to (None: of their
               absolute values)
    blocks     rows are multiplied by the kernel of `matmul.py`
    """

    rounding: Rounding
    lengths: Lengths
    joins: int
    additions: int
    depth: int
    sizes: tuple[Tensor | None, ...] = ()
    blocks: bool = False

    @staticmethod
    def of(program: Program, node: Node, rounding: Rounding, like: Tensor) -> Charge:
        """The charge of a node; `like` has the dtype and device of the bounds."""
        graph, depth = program.graph, 0
        sizes: list[Tensor | None] = []
        for name in node.weights:
            formed = graph.formed.get(name)
            if formed is None or formed.size is None:
                sizes.append(None)
            else:
                size = np.broadcast_to(formed.size, graph.weights[name].shape)
                sizes.append(tensor(size).to(like) * INFLATION)
            inexact = like.dtype != torch.float64 and name not in graph.singles
            # A network in a narrow type holds weights that were rounded to it.
            cast = inexact or rounding.network > UNITS["float32"]
            depth = max(depth, (0 if formed is None else formed.depth) + cast)
        joins, additions = program.joins[node.name], program.additions
        lengths, blocks = program.lengths[node.name], rounding.blocks and RULES[node.op].by_blocks
        return Charge(rounding, lengths, joins, additions, depth, tuple(sizes), blocks)

    @property
    def pull(self) -> int:
        """The roundings of rows at an affine node: of its products, or of sums with its bias."""
        lengths = self.lengths
        pull = lengths.pull
        if self.blocks:
            pull = BLOCK_ROUNDINGS + 8 + pull // BLOCK_DEPTH
        return max(pull, 1 + self.rounding.sum(lengths.summed)) if lengths.summed else pull

    def part(self, low: int, high: int, size: int) -> Charge:
        """The charge of the outputs `low ≤ i < high` of a product."""
        if high - low == size:
            return self
        sizes = tuple(None if each is None else each[low:high] for each in self.sizes)
        return replace(self, sizes=sizes)

    def of_interval(self, forward: int) -> float:
        """By what share of its size an end of an interval is moved out."""
        rounding = self.rounding
        if not forward and not self.depth:
            return 0.0
        blocks = BLOCK_ROUNDINGS if self.blocks else 0
        own = gamma(forward + self.depth + OF_INTERVALS + blocks, rounding.own)
        return own + gamma(forward + self.depth, rounding.network)

    def of_rows(self, term: Rounded) -> float:
        """What share of a size a row loses, and the network on its way forward."""
        pull = term.pull + self.joins + self.depth
        if term.summed:
            pull += self.rounding.sum(term.summed)
        if pull:
            pull += self.additions
        network = gamma(term.forward + self.depth, self.rounding.network)
        return gamma(pull, self.rounding.own) + network


def outward(
    served: NodeWeights, boxes: Sequence[Interval], charge: Charge
) -> tuple[Interval, Tensor | None]:
    """The interval of a node, moved out by its rounding, and the E of rows there."""
    node = served.node
    if product_of(node) is None:
        return _outward(node, served.weights, boxes, charge)
    found = []
    for part in served.parts:
        of_part, bias = node_of_part(served, part.low, part.high)
        mine = charge.part(part.low, part.high, node.shape[output_axis(node)])
        found.append(_outward(of_part, (part.weight, *bias), boxes, mine))
    if len(found) == 1:
        return found[0]
    dim = output_axis(node) + 1
    box = Interval(
        torch.cat([each.lower for each, _ in found], dim),
        torch.cat([each.upper for each, _ in found], dim),
    )
    errors = [error for _, error in found if error is not None]
    return box, torch.cat(errors, dim) if errors else None


def _outward(
    node: Node, weights: Weights, boxes: Sequence[Interval], charge: Charge
) -> tuple[Interval, Tensor | None]:
    box = RULES[node.op].interval(node, weights, *boxes)
    terms = sources(node, weights, boxes, charge)
    if any(charge.of_interval(term.forward) for term in terms):
        below, above = _widths(node, weights, boxes, charge, terms)
        box = Interval(box.lower - below, box.upper + above)
    error = None
    for term in terms:
        share = charge.of_rows(term)
        if share:
            own = (share * INFLATION) * term.size
            if term.forward:
                # What underflow takes from the network's value is multiplied by coefficients, too.
                own = own + 4 * (term.forward + charge.depth + 1) * charge.rounding.lost
            error = own if error is None else error + own
    return box, error


def _widths(
    node: Node,
    weights: Weights,
    boxes: Sequence[Interval],
    charge: Charge,
    terms: Sequence[Rounded],
) -> tuple[Tensor, Tensor]:
    """How far the lower and the upper ends are moved out."""
    if not RULES[node.op].rising:
        both = _width(terms, charge)
        return both, both
    low, high = (
        sources(node, weights, [Interval(end, end) for end in ends], charge)
        for ends in ([box.lower for box in boxes], [box.upper for box in boxes])
    )
    return _width(low, charge), _width(high, charge)


def _width(terms: Sequence[Rounded], charge: Charge) -> Tensor:
    rounding, width = charge.rounding, None
    lost = 4 * (charge.lengths.forward + 1) * (rounding.tiny + rounding.lost)
    for term in terms:
        share = charge.of_interval(term.forward)
        if share:
            own = (share * INFLATION) * term.size + lost
            width = own if width is None else width + own
    assert width is not None
    return width


def sources(
    node: Node, weights: Weights, boxes: Sequence[Interval], charge: Charge
) -> tuple[Rounded, ...]:
    """The sources of rounding of a node on boxes; infinite where the network may overflow.

    The size of an affine one is its interval on `|x| ≤ reach` with biases made positive.
    """
    terms, largest = _sources(node, weights, boxes, charge), charge.rounding.largest
    if largest == math.inf:
        return terms
    return tuple(
        replace(term, size=torch.where(term.size * INFLATION > largest, torch.inf, term.size))
        if term.forward
        else term
        for term in terms
    )


def _sources(
    node: Node, weights: Weights, boxes: Sequence[Interval], charge: Charge
) -> tuple[Rounded, ...]:
    operator = RULES[node.op]
    if operator.rounded is not None:
        return operator.rounded(node, tuple(boxes))
    if not operator.affine:
        lower = boxes[0].lower
        inf = torch.full_like(lower.reshape(len(lower), -1)[:, :1], torch.inf)
        shape = (len(inf), *[1] * len(node.shape))
        return (Rounded(inf.reshape(shape).expand(len(inf), *node.shape), 1, 1),)
    reach = [torch.maximum(box.lower.abs(), box.upper.abs()) for box in boxes]
    around = [Interval(-each, each) for each in reach]
    product = product_of(node) is not None
    sizes = [
        size if size is not None else weight if product and place == 0 else weight.abs()
        for place, (weight, size) in enumerate(
            zip(weights, charge.sizes or [None] * len(weights), strict=True)
        )
    ]
    size = operator.interval(node, sizes, *around).upper.abs()
    return (Rounded(size, charge.lengths.forward, charge.pull),)


def of_input(program: Program, box: Interval, rounding: Rounding) -> tuple[Tensor, Tensor | None]:
    """E and what underflow takes at the input, where rows meet the region: `⟨A⁺, l⟩ + ⟨A⁻, u⟩`."""
    node = program.graph[program.graph.input]
    joins = len(program.graph.consumers[node.name]) + 2
    charge = Charge(rounding, Lengths(0, 2, node.size), joins, program.additions, 0)
    reach = torch.maximum(box.lower.abs(), box.upper.abs())
    forward = 1 if rounding.narrows else 0
    error = charge.of_rows(Rounded(reach, forward, 2, node.size)) * INFLATION * reach
    if forward:
        error = error + 4 * rounding.lost
    return error, lost_to_underflow([box], charge)


def as_read(box: Interval, rounding: Rounding) -> Interval:
    """Where the network's input lies once it is rounded to the network's type."""
    if not rounding.narrows:
        return box
    unit, lost = gamma(1 + OF_INTERVALS, rounding.network), 4 * rounding.lost
    lower = box.lower - (unit * box.lower.abs() + lost)
    upper = box.upper + (unit * box.upper.abs() + lost)
    return Interval(
        torch.where(lower < -rounding.largest, -torch.inf, lower),
        torch.where(upper > rounding.largest, torch.inf, upper),
    )


def lost_to_underflow(boxes: Sequence[Interval], charge: Charge) -> Tensor | None:
    """What underflow can take from a row at a node, `[D]`: so many operations for every input."""
    rounding, total = charge.rounding, None
    operations = 8 * (charge.pull + charge.joins + charge.additions + 8)
    for box in boxes:
        ends = box.lower.reshape(len(box.lower), -1), box.upper.reshape(len(box.upper), -1)
        reach = sum(torch.linalg.vector_norm(end, 1, dim=1) for end in ends) + ends[0].shape[1]
        own = operations * (rounding.tiny + rounding.lost) * reach
        total = own if total is None else total + own
    return total
