"""Sums over the neurons of a tile's rows, each made on one rank from all neurons of the row.

Rows lie cut along their neurons. What adds up neurons (`⟨A, b⟩`, the intercepts of lines, the
minimum over a box) would be added in another order than on one device. So an all-to-all turns the
rows: rank r gets all neurons of its share of the rows, or of the domains where there are several,
and adds them up as one device does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import prod

import torch
from torch import Tensor

from boundmesh.bounds.relaxation.lines import Drawn
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.kernels.pieces import Pieces
from boundmesh.kernels.sums import added
from boundmesh.mesh.exchange.all_to_all import all_to_all
from boundmesh.mesh.runtime.group import Group
from boundmesh.mesh.runtime.sharded_tensors import ROWS, gather_pieces
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Lines
from boundmesh.operators.partition import Partition

# Rows are dealt in blocks: products of a matrix with a vector take rows by fours or eights, and
# what is left over another way.
BLOCK = 16


@dataclass(frozen=True)
class Shape:
    """Of lines laid over others on one rank: how many neurons, and which intercepts the lines
    below have (0 or 1: below, above)."""

    neurons: int
    below: int
    above: int


@dataclass
class Shapes:
    """The shapes of the lines of every rank, by node; asked for once while a climb lasts."""

    group: Group
    _known: dict[str, tuple[Tensor, Sequence[Shape]]] = field(default_factory=dict)

    def of(self, name: str, drawn: Drawn) -> Sequence[Shape]:
        """The shapes on all ranks of lines that have an overlay."""
        assert drawn.overlay is not None
        index, shared = drawn.overlay.index, drawn.shared
        if name not in self._known or self._known[name][0] is not index:
            ends = () if shared is None else _intercepts(shared)
            mine = torch.tensor(
                [len(index), *(int(end is not None) for end in ends or (None, None))]
            )
            mine = mine.to(index.device)
            every = mine.new_empty(self.group.size * len(mine))
            self.group.all_gather(every, mine).wait()
            shapes = [Shape(*each) for each in every.reshape(-1, len(mine)).tolist()]
            self._known[name] = index, shapes
        return self._known[name][1]


class Shares:
    """How the rows of one tile are dealt to the ranks for sums over all their neurons."""

    def __init__(self, group: Group, shapes: Shapes, domains: int, rows: int) -> None:
        self._group, self._shapes = group, shapes
        axis, count, block = (0, domains, 1) if domains > 1 else (1, rows, BLOCK)
        blocks = max(1, count // block)
        height = -(-blocks // group.size)
        # The last block is longer by what is left over, that no rank has a few rows alone.
        ends = tuple(
            count if rank * height >= blocks else rank * height * block
            for rank in range(group.size + 1)
        )
        self.cut = Partition(axis, ends)

    def mine(self, values: Tensor) -> Tensor:
        """This rank's share of `[D, S, *]` that all ranks have; a dim of 1 serves all shares."""
        if values.shape[self.cut.axis] == 1:
            return values
        return self.cut.piece(values, self._group.rank, 0)

    def turned(self, rows: Tensor, cut: Partition) -> Tensor:
        """This rank's share, with all neurons, of rows `[D, S, *piece]` of neurons that are cut."""
        return all_to_all(
            self._group, rows.detach(), Partition(cut.axis + ROWS, cut.ends), self.cut
        )

    def sized(self, sums: Tensor) -> Tensor:
        """Sums of this rank's share, written out where one serves all of it."""
        low, high = self.cut.span(self._group.rank)
        axis = self.cut.axis
        return sums.expand(*sums.shape[:axis], high - low, *sums.shape[axis + 1 :])

    def joined(self, sums: Tensor) -> Tensor:
        """The sums `[D, S]` of all rows, from those of each rank's share."""
        return gather_pieces(self._group, sums, self.cut.axis, self.cut.ends)

    def total(self, sums: Tensor) -> Tensor:
        """This rank's share of sums `[D, S]` over each rank's neurons, in any order."""
        total = sums.detach().clone()
        self._group.all_reduce(total)
        return self.mine(total)

    def minimum(self, region: BoxRegion, rows: Tensor, cut: Partition) -> Tensor:
        """The minimum of rows over a box."""
        box = BoxRegion(*(self.of_domains(end) for end in (region.lower, region.upper)))
        return box.minimum(self.turned(rows, cut))

    def intercept(
        self, node: Node, drawn: Drawn | Pieces, rows: Tensor, cut: Partition
    ) -> Tensor | None:
        """What rows pick up from the lines of a node, drawn for this rank's neurons."""
        if isinstance(drawn, Pieces):
            return self._of_pieces(node, drawn, rows, cut)
        if drawn.overlay is None:
            assert isinstance(drawn.shared, Lines)
            return self._intercept(*_intercepts(drawn.shared), rows, cut)
        shapes = self._shapes.of(node.name, drawn)
        below, above = (None, None) if drawn.shared is None else _intercepts(drawn.shared)
        nothing = rows.new_zeros(1, 1, *rows.shape[ROWS:])
        if below is None and any(each.below for each in shapes):
            below = nothing
        if above is None and any(each.above for each in shapes):
            above = nothing
        outer = self._intercept(below, above, rows, cut)
        ends = tuple(accumulate((each.neurons for each in shapes), initial=0))
        own = rows.flatten(2).index_select(2, drawn.overlay.index)
        inner = self._intercept(*_intercepts(drawn.overlay.lines), own, Partition(0, ends))
        return added(outer, inner)

    def _of_pieces(self, node: Node, drawn: Pieces, rows: Tensor, cut: Partition) -> Tensor:
        """The intercepts are those of the chords, whatever α is."""
        sizes = (prod(cut.shape(node.shape, rank)) for rank in range(self._group.size))
        along = Partition(0, tuple(accumulate(sizes, initial=0)))
        ends = (end.flatten(1).unsqueeze(1) for end in (drawn.lower, drawn.upper))
        lower, upper = (self.turned(end, along).squeeze(1) for end in ends)
        return Pieces(drawn.slope, lower, upper).bias(self.turned(rows.flatten(2), along))

    def _intercept(
        self, below: Tensor | None, above: Tensor | None, rows: Tensor, cut: Partition
    ) -> Tensor | None:
        if below is None and above is None:
            return None
        lower, upper = (None if end is None else self.turned(end, cut) for end in (below, above))
        # The bias has nothing to do with the slopes; any will do.
        slope = lower if upper is None else upper
        assert slope is not None
        return Lines((slope,), (slope,), lower, upper).pull(self.turned(rows, cut)).bias

    def of_domains(self, values: Tensor) -> Tensor:
        """This rank's domains of `[D or 1, *]`, where shares are domains; else all."""
        return self.mine(values) if self.cut.axis == 0 else values


def exact(drawn: Drawn | Pieces) -> bool:
    """Whether the lines are of one neuron each."""
    if isinstance(drawn, Pieces):
        return True
    lines = drawn.shared if drawn.overlay is None else drawn.overlay.lines
    return isinstance(lines, Lines) and lines.reduced is None and len(lines.lower_slopes) == 1


def _intercepts(lines: object) -> tuple[Tensor | None, Tensor | None]:
    assert isinstance(lines, Lines)
    return lines.lower_intercept, lines.upper_intercept
