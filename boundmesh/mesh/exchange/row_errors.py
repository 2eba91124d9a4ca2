"""The rounding errors of one tile's rows in a sweep in which each rank holds some neurons."""

from __future__ import annotations

from torch import Tensor

from boundmesh.bounds.sweep.rounding_errors import Errors, lowered, magnitude
from boundmesh.bounds.sweep.rows import DenseRows, Tile, UnitRows
from boundmesh.kernels.sums import added
from boundmesh.mesh.exchange.shares import Shares
from boundmesh.operators.node import Node
from boundmesh.operators.partition import Partition


class Charged:
    """The rounding errors `⟨|A|, E⟩` of this rank's share of the rows.

    Each sum is over all neurons of a node, in the order of one device. E is described in
    `bounds/sweep/rounding_errors.py`.
    """

    def __init__(self, errors: Errors | None, shares: Shares) -> None:
        self._errors, self._shares = errors, shares
        self._settled: Tensor | None = None

    def begin(self, tile: Tile, node: Node) -> None:
        """Add the error from inexact coefficients of a tile."""
        rows = tile.rows
        if self._errors is not None and isinstance(rows, DenseRows) and rows.deviation is not None:
            off = self._shares.share_of(rows.deviation)
            self._add(magnitude(off, self._shares.of_domains(self._errors.reach[node.name])))

    def rows(self, name: str, rows: Tensor, cut: Partition | None) -> None:
        """Add the error of rows at a node; `cut` is how the rows are cut (None: they are whole)."""
        if self._errors is None or name not in self._errors.by_node:
            return
        piece = (
            self._shares.share_of(rows.detach())
            if cut is None
            else self._shares.all_neurons(rows, cut)
        )
        sizes = self._shares.of_domains(self._errors.by_node[name].sizes).squeeze(1)
        self._add(magnitude(piece, sizes))

    def units(self, name: str, rows: UnitRows) -> None:
        """Add the error of rows of single neurons at their start node."""
        if self._errors is not None:
            lost = self._errors.of_units(name, rows.index)
            self._add(None if lost is None else self._shares.share_of(lost))

    def lowered(self, lowest: Tensor) -> Tensor:
        """Return the bounds `[D, S]` of all rows, lowered by their rounding errors."""
        if self._errors is None:
            return lowest
        settled = None if self._settled is None else self._shares.joined(self._settled)
        return lowered(lowest, settled, self._errors)

    def _add(self, lost: Tensor | None) -> None:
        if lost is not None:
            self._settled = added(self._settled, self._shares.sized(lost))
