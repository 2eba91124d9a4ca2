"""The biases of one tile's rows in a sweep in which each rank holds some of the neurons."""

from __future__ import annotations

from torch import Tensor

from boundmesh.kernels.sums import added
from boundmesh.mesh.exchange.shares import Shares
from boundmesh.mesh.runtime.sharded_tensors import Settled


class Biases:
    """The biases `[D, S]` of a tile's rows; each is computed in two ways.

    value      One rank sums over all neurons of a row, in the order of one device (shares.py).
    gradients  Each rank sums over its own neurons, for all rows. Autograd goes back through these
               sums, and through the biases that all ranks computed alike.
    """

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._settled: Tensor | None = None
        self._own: Tensor | None = None
        self._common: Tensor | None = None

    def settle(self, bias: Tensor | None) -> None:
        """Add to the values of this rank's share of the rows; no gradients pass."""
        if bias is not None:
            self._settled = added(self._settled, self._shares.sized(bias))

    def add_own(self, bias: Tensor | None) -> None:
        """Add the sums over this rank's neurons, for all rows; they serve gradients only."""
        self._own = added(self._own, bias)

    def add_common(self, bias: Tensor | None) -> None:
        """Add a bias of all rows that all ranks computed alike, to values and for gradients."""
        self._common = added(self._common, bias)
        if bias is not None:
            self.settle(self._shares.share_of(bias.detach()))

    def total(self, domains: int, rows: int) -> Tensor:
        """Return the biases `[D, S]` of all rows, on every rank; gradients reach its own sums."""
        assert self._settled is not None
        known = self._shares.joined(self._settled)
        total = known.expand(max(domains, len(known)), rows)
        share = added(self._own, self._common)
        return total if share is None else Settled.apply(share.expand(total.shape), total)
