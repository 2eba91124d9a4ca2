"""Sums over the neurons of a tile's rows; one rank computes each sum, from all neurons of the row.

Rows are cut along their neurons. If each rank summed over its own neurons (for `⟨A, b⟩`, the
intercepts of lines, the minimum over a box), the terms would be added in another order than on one
device. Therefore an all-to-all gives rank r all neurons of its share of the rows, or of the domains
if there are several. It then adds them in the order of one device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import prod

from torch import Tensor

from boundmesh.bounds.relaxation.drawn import Drawn
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.kernels.pieces import Pieces
from boundmesh.kernels.sums import added
from boundmesh.mesh.exchange.all_to_all import all_to_all
from boundmesh.mesh.runtime.group import Group
from boundmesh.mesh.runtime.sharded_tensors import ROWS, gather_pieces
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.partition import Partition

# Rows are divided in blocks of this height. Products of a matrix with a vector process four or
# eight rows at a time, and any rows that remain with other instructions, which round differently.
BLOCK = 16


@dataclass(frozen=True)
class Shape:
    """The sizes of one node's relaxation on one rank.

    neurons  how many neurons the overlay has
    below    1 if the shared lower lines have an intercept, else 0
    above    1 if the shared upper lines have an intercept, else 0
    """

    neurons: int
    below: int
    above: int


@dataclass
class Shapes:
    """The shapes of the relaxations on all ranks, by node name.

    One all-gather collects them, and they are kept as long as the overlay has the same neurons.
    """

    group: Group
    _known: dict[str, tuple[Tensor, Sequence[Shape]]] = field(default_factory=dict)

    def of(self, name: str, drawn: Drawn) -> Sequence[Shape]:
        """Return the shapes on all ranks of a relaxation that has an overlay."""
        assert drawn.overlay is not None
        index, shared = drawn.overlay.index, drawn.shared
        if name not in self._known or self._known[name][0] is not index:
            ends = () if shared is None else _intercepts(shared)
            own_numbers = [len(index), *(int(end is not None) for end in ends or (None, None))]
            all_numbers = self.group.all_gather_numbers(own_numbers, index.device)
            shapes = [Shape(*numbers) for numbers in all_numbers]
            self._known[name] = index, shapes
        return self._known[name][1]


class Shares:
    """The division of one tile's rows, or domains, among ranks for sums over all their neurons."""

    def __init__(self, group: Group, shapes: Shapes, domains: int, rows: int) -> None:
        self._group, self._shapes = group, shapes
        axis, count, block = (0, domains, 1) if domains > 1 else (1, rows, BLOCK)
        blocks = max(1, count // block)
        height = -(-blocks // group.size)
        # The last block also contains the rows that remain, so that no rank has only a few rows.
        ends = tuple(
            count if rank * height >= blocks else rank * height * block
            for rank in range(group.size + 1)
        )
        self.cut = Partition(axis, ends)

    def share_of(self, values: Tensor) -> Tensor:
        """Return this rank's share of values `[D, S, *]` that all ranks hold.

        Values with a dim of length 1 there are broadcast, and returned as they are.
        """
        if values.shape[self.cut.axis] == 1:
            return values
        return self.cut.piece(values, self._group.rank, 0)

    def all_neurons(self, rows: Tensor, cut: Partition) -> Tensor:
        """Return this rank's share of the rows with all their neurons, by an all-to-all.

        `rows` `[D, S, *piece]` are all rows with this rank's neurons; `cut` is how these are cut.
        """
        return all_to_all(
            self._group, rows.detach(), Partition(cut.axis + ROWS, cut.ends), self.cut
        )

    def sized(self, sums: Tensor) -> Tensor:
        """Expand sums of this rank's share to its full size if they are broadcast."""
        low, high = self.cut.span(self._group.rank)
        axis = self.cut.axis
        return sums.expand(*sums.shape[:axis], high - low, *sums.shape[axis + 1 :])

    def joined(self, sums: Tensor) -> Tensor:
        """All-gather the sums `[D, S]` of all rows from those of each rank's share."""
        return gather_pieces(self._group, sums, self.cut.axis, self.cut.ends)

    def total(self, sums: Tensor) -> Tensor:
        """Add each rank's sums `[D, S]` by an all-reduce, and return this rank's share."""
        total = sums.detach().clone()
        self._group.all_reduce(total)
        return self.share_of(total)

    def minimum(self, region: BoxRegion, rows: Tensor, cut: Partition) -> Tensor:
        """Compute the minimum over a box of this rank's share of the rows."""
        box = BoxRegion(*(self.of_domains(end) for end in (region.lower, region.upper)))
        return box.minimum(self.all_neurons(rows, cut))

    def intercept(
        self, node: Node, drawn: Drawn | Pieces, rows: Tensor, cut: Partition
    ) -> Tensor | None:
        """Compute the bias of this rank's share of the rows from the lines of a node.

        `drawn` is the relaxation of this rank's neurons. The result is None without intercepts.
        """
        if isinstance(drawn, Pieces):
            return self._of_pieces(node, drawn, rows, cut)
        if drawn.overlay is None:
            assert isinstance(drawn.shared, Lines)
            return self._intercept(*_intercepts(drawn.shared), rows, cut)
        shapes = self._shapes.of(node.name, drawn)
        below, above = (None, None) if drawn.shared is None else _intercepts(drawn.shared)
        nothing = rows.new_zeros(1, 1, *rows.shape[ROWS:])
        if below is None and any(shape.below for shape in shapes):
            below = nothing
        if above is None and any(shape.above for shape in shapes):
            above = nothing
        outer = self._intercept(below, above, rows, cut)
        ends = tuple(accumulate((shape.neurons for shape in shapes), initial=0))
        at_neurons = rows.flatten(2).index_select(2, drawn.overlay.index)
        inner = self._intercept(*_intercepts(drawn.overlay.lines), at_neurons, Partition(0, ends))
        return added(outer, inner)

    def _of_pieces(self, node: Node, drawn: Pieces, rows: Tensor, cut: Partition) -> Tensor:
        """Compute the bias from lines of two pieces; only chords have intercepts, whatever α is."""
        sizes = (prod(cut.shape(node.shape, rank)) for rank in range(self._group.size))
        along = Partition(0, tuple(accumulate(sizes, initial=0)))
        ends = (end.flatten(1).unsqueeze(1) for end in (drawn.lower, drawn.upper))
        lower, upper = (self.all_neurons(end, along).squeeze(1) for end in ends)
        return Pieces(drawn.slope, lower, upper).bias(self.all_neurons(rows.flatten(2), along))

    def _intercept(
        self, below: Tensor | None, above: Tensor | None, rows: Tensor, cut: Partition
    ) -> Tensor | None:
        if below is None and above is None:
            return None
        lower, upper = (
            None if end is None else self.all_neurons(end, cut) for end in (below, above)
        )
        # The bias does not depend on the slopes, so any tensor of this shape serves.
        slope = lower if upper is None else upper
        assert slope is not None
        return Lines((slope,), (slope,), lower, upper).pull(self.all_neurons(rows, cut)).bias

    def of_domains(self, values: Tensor) -> Tensor:
        """Return this rank's part of `[D or 1, *]` if domains are divided, else all of it."""
        return self.share_of(values) if self.cut.axis == 0 else values


def exact(drawn: Drawn | Pieces) -> bool:
    """Return True if each line depends on one input neuron."""
    if isinstance(drawn, Pieces):
        return True
    lines = drawn.shared if drawn.overlay is None else drawn.overlay.lines
    return isinstance(lines, Lines) and lines.reduced is None and len(lines.lower_slopes) == 1


def _intercepts(lines: object) -> tuple[Tensor | None, Tensor | None]:
    assert isinstance(lines, Lines)
    return lines.lower_intercept, lines.upper_intercept
