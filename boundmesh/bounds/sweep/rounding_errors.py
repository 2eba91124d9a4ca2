"""Bounds of the rounding errors of rows and intervals on a region.

A sweep pulls back `⟨A, value⟩ + bias`, which differs from its exact value by a rounding error. At
every node that it passes, the bound of this error grows by `⟨|A|, E⟩`, with E of the node's shape:

    E = Σ over sources of rounding of (γ_pull(own) + γ_forward(network)) · size

γ_pull bounds the roundings of rows at the node, in the arithmetic of this computation. γ_forward
bounds the roundings of the network itself, in the arithmetic in which it runs. A size is the
largest sum of absolute values at a neuron, |W|·|x|max + |b| at a layer, so E is computed once for
all rows of a region. Intervals are widened by both kinds of errors.
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

# The ends of an interval are computed from a centre and a radius, which adds this many roundings to
# those of the operator itself.
OF_INTERVALS = 6


@dataclass
class Errors:
    """Bounds of the rounding errors of rows on a region.

    rounding  the two arithmetics, of this computation and of the network
    at        the E of every node at which rows have errors, `[D or 1, 1, *shape]`, by node name
    reach     the largest absolute values `[D, *shape]` of the target, by name; they bound the
              effect of inexact coefficients
    lost      `[D or 1]`, the largest error of any row from underflow (None: zero)
    """

    rounding: Rounding
    at: dict[str, Sizes] = field(default_factory=dict)
    reach: dict[str, Tensor] = field(default_factory=dict)
    lost: Tensor | None = None

    def enter(self, name: str, error: Tensor | None, lost: Tensor | None) -> None:
        """Add the E `[D or 1, *shape]` of a node, and the error `[D or 1]` from underflow there."""
        if error is not None:
            self.at[name] = Sizes.of(error)
        if lost is not None:
            self.lost = lost if self.lost is None else self.lost + lost

    def of_rows(self, name: str, rows: Tensor, onto: Tensor | None = None) -> Tensor | None:
        """Compute the error `[D, S]` of rows `[D, S, *shape]` at a node, added to `onto`."""
        error = self.at.get(name)
        return onto if error is None else error.of_rows(rows, onto)

    def of_units(self, name: str, index: Tensor) -> Tensor | None:
        """Compute the error `[D, S]` of rows of single neurons at their start node."""
        error = self.at.get(name)
        return None if error is None else error.above.flatten(1).index_select(1, index)


@dataclass(frozen=True)
class Sizes:
    """Sizes ≥ 0 by which absolute coefficients are weighted in a sum.

    above  the sizes, `[D or 1, 1, *shape]`
    below  the negated sizes; the kernel multiplies positive coefficients by `above` and negative
           ones by `below`
    """

    above: Tensor
    below: Tensor

    @staticmethod
    def of(sizes: Tensor) -> Sizes:
        """Create both tensors from sizes `[D or 1, *shape]`."""
        above = sizes.unsqueeze(1).contiguous()
        return Sizes(above, -above)

    @torch.no_grad()
    def of_rows(self, rows: Tensor, onto: Tensor | None = None) -> Tensor:
        """Compute `⟨|A|, sizes⟩` `[D, S]` of rows `[D, S, *shape]`, added to `onto`."""
        rows = rows.detach()
        if fused_rows.sums(rows, self.above, self.below):
            return fused_rows.signed_inner(rows, self.above, self.below, onto)
        return inner(rows.abs(), self.above, onto)


def magnitude(rows: Tensor, sizes: Tensor) -> Tensor:
    """Compute `⟨|A|, sizes⟩` `[D, S]` of rows `[D, S, *shape]`, with sizes `[D or 1, *shape]`."""
    return Sizes.of(sizes).of_rows(rows)


def lowered(
    lowest: Tensor,
    error: Tensor | None,
    errors: Errors | None,
    constants: Tensor | None = None,
) -> Tensor:
    """Return bounds `[D, S]` lowered by their rounding error.

    These subtractions round, too. The result is therefore also lowered by a few roundings of the
    bounds and of the `constants` that were added to them; the error itself is inflated. Gradients
    pass as if nothing was subtracted. If `errors` is None, the bounds are returned as they are.
    """
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
    """The number of roundings at one node.

    rounding   the two arithmetics, of this computation and of the network
    lengths    the roundings of an affine node's value and of its rows
    joins      the additions of coefficients from several readers
    additions  the additions of biases in a whole sweep
    depth      the roundings in the computation of the node's weights
    sizes      for each weight, the size to which its roundings are relative (None: its absolute
               values)
    blocks     true if rows are multiplied by the kernel of `matmul.py`
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
        """Count the roundings of a node; `like` has the dtype and device of the bounds."""
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
        """The roundings of rows at an affine node, in its product or in the sum with its bias."""
        lengths = self.lengths
        pull = lengths.pull
        if self.blocks:
            pull = BLOCK_ROUNDINGS + 8 + pull // BLOCK_DEPTH
        return max(pull, 1 + self.rounding.sum(lengths.summed)) if lengths.summed else pull

    def part(self, low: int, high: int, size: int) -> Charge:
        """Return the charge of the outputs `low ≤ i < high` of a product with `size` outputs."""
        if high - low == size:
            return self
        sizes = tuple(None if each is None else each[low:high] for each in self.sizes)
        return replace(self, sizes=sizes)

    def of_interval(self, forward: int) -> float:
        """Compute the share of its size by which an end of an interval is moved outward."""
        rounding = self.rounding
        if not forward and not self.depth:
            return 0.0
        blocks = BLOCK_ROUNDINGS if self.blocks else 0
        own = gamma(forward + self.depth + OF_INTERVALS + blocks, rounding.own)
        return own + gamma(forward + self.depth, rounding.network)

    def of_rows(self, term: Rounded) -> float:
        """Compute the share of a size that rows and the network can lose together."""
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
    """Compute the interval of a node, widened by its rounding, and the E of rows there.

    E has the shape `[D or 1, *shape]`; it is None if rows have no error at the node.
    """
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
                # Underflow changes the network's value, which coefficients multiply.
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
    """Compute how far the lower and the upper ends are moved outward."""
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
    """Return the sources of rounding of a node on boxes; a size is infinite if it may overflow.

    The size of an affine node is the upper end of its interval on `|x| ≤ reach`, computed with the
    absolute values of its biases.
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
    """Compute E and the underflow at the input, where a sweep ends with `⟨A⁺, l⟩ + ⟨A⁻, u⟩`."""
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
    """Return a box that contains the inputs after they are rounded to the network's type."""
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
    """Bound the error `[D]` of a row from underflow at a node.

    Each of a fixed number of operations per input can underflow once.
    """
    rounding, total = charge.rounding, None
    operations = 8 * (charge.pull + charge.joins + charge.additions + 8)
    for box in boxes:
        ends = box.lower.reshape(len(box.lower), -1), box.upper.reshape(len(box.upper), -1)
        reach = sum(torch.linalg.vector_norm(end, 1, dim=1) for end in ends) + ends[0].shape[1]
        own = operations * (rounding.tiny + rounding.lost) * reach
        total = own if total is None else total + own
    return total
