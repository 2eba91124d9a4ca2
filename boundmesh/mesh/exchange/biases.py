"""What the rows of one tile pick up on their way, while every rank has some neurons of them."""

from __future__ import annotations

from torch import Tensor

from boundmesh.kernels.sums import added
from boundmesh.mesh.exchange.shares import Shares
from boundmesh.mesh.runtime.sharded_tensors import Settled


class Biases:
    """Sums `[D, S]` over the neurons of rows, of which each is made in two ways.

    The value is settled on one rank for each row, over all its neurons (shares.py). Gradients reach
    a rank through what its own neurons add to all rows, and through what all ranks know.
    """

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._settled: Tensor | None = None
        self._own: Tensor | None = None
        self._common: Tensor | None = None

    def settle(self, bias: Tensor | None) -> None:
        """Add to this rank's share of the rows; without gradients."""
        if bias is not None:
            self._settled = added(self._settled, self._shares.sized(bias))

    def own(self, bias: Tensor | None) -> None:
        """Add what this rank's neurons alone make, of all rows; for gradients."""
        self._own = added(self._own, bias)

    def know(self, bias: Tensor | None) -> None:
        """Add a bias that all ranks have, of all rows: to settle, and for gradients."""
        self._common = added(self._common, bias)
        if bias is not None:
            self.settle(self._shares.mine(bias.detach()))

    def total(self, domains: int, rows: int) -> Tensor:
        """All that was picked up, of all rows, on every rank; gradients are this rank's."""
        assert self._settled is not None
        known = self._shares.joined(self._settled)
        total = known.expand(max(domains, len(known)), rows)
        share = added(self._own, self._common)
        return total if share is None else Settled.apply(share.expand(total.shape), total)
