"""Bounds the rounding errors of rows and intervals on a region.

A sweep pulls back `⟨A, value⟩ + bias`, which differs from its exact value by a rounding error. At
every node that it passes, the bound of this error grows by `⟨|A|, E⟩`, with E of the node's shape:

    E = Σ over sources of rounding of (γ_pull(own) + γ_forward(network)) · size

γ_pull bounds the roundings of rows at the node, in the arithmetic of this computation. γ_forward
bounds the roundings of the network itself, in the arithmetic in which it runs. A size is the
largest sum of absolute values at a neuron, |W|·|x|max + |b| at a layer, so E is computed once for
all rows of a region. Intervals are widened by both kinds of errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from boundmesh.kernels import fused_rows, fused_window_sums, fused_windows
from boundmesh.kernels.once import forbid_in_recording
from boundmesh.kernels.sums import Collected, added
from boundmesh.operators import window_blocks
from boundmesh.operators.inner_products import inner
from boundmesh.operators.rounding import INFLATION, Rounding
from boundmesh.operators.window_sums import sums_of_magnitudes
from boundmesh.operators.windows import Windows


@dataclass
class Errors:
    """Bounds of the rounding errors of rows on a region.

    rounding  the two arithmetics, of this computation and of the network
    moved     the nodes at which the E of others are counted, as `Program.charged_at` finds them
    by_node   the E of every node at which rows have errors, `[D or 1, 1, *shape]`, by node name
    reach     the largest absolute values `[D, *shape]` of the target, by name; they bound the
              effect of inexact coefficients
    underflow
              `[D or 1]`, the largest error of any row from underflow (None: zero)
    """

    rounding: Rounding
    moved: Mapping[str, str] = field(default_factory=dict)
    by_node: dict[str, Sizes] = field(default_factory=dict)
    reach: dict[str, Tensor] = field(default_factory=dict)
    underflow: Tensor | None = None

    def enter(self, name: str, error: Tensor | None, underflow: Tensor | None) -> None:
        """Add the E `[D or 1, *shape]` of a node, and the error `[D or 1]` from underflow there."""
        if error is not None:
            name = self.moved.get(name, name)
            known = self.by_node.get(name)
            # `INFLATION` covers the rounding of this sum.
            self.by_node[name] = Sizes.of(
                error if known is None else error + known.sizes.squeeze(1)
            )
        if underflow is not None:
            self.underflow = underflow if self.underflow is None else self.underflow + underflow

    def of_rows(
        self, name: str, rows: Tensor | Windows, onto: Tensor | None = None
    ) -> Tensor | None:
        """Compute the error `[D, S]` of rows `[D, S, *shape]` at a node, added to `onto`."""
        sizes = self.by_node.get(name)
        if sizes is None:
            return onto
        if isinstance(rows, Windows):
            return sizes.of_windows(rows, onto)
        return sizes.of_rows(rows, onto)

    def collected(
        self, name: str, rows: Tensor | Windows, bias: Tensor | None, error: Tensor | None
    ) -> Collected:
        """Return what rows have collected in front of a node, with the error of the rows there.

        Where kernels pull windows back, the error is due instead, as these can count it.
        """
        sizes = self.by_node.get(name)
        by_kernel = isinstance(rows, Windows) and fused_windows.applies(rows.coefficients)
        if sizes is not None and by_kernel:
            return Collected(bias, error, sizes.features_last)
        return Collected(bias, self.of_rows(name, rows, error))

    def of_units(self, name: str, index: Tensor) -> Tensor | None:
        """Compute the error `[D, S]` of rows of single neurons at their start node."""
        error = self.by_node.get(name)
        return None if error is None else error.sizes.flatten(1).index_select(1, index)


@dataclass(frozen=True)
class Sizes:
    """Sizes ≥ 0 by which absolute coefficients are weighted in a sum.

    sizes  `[D or 1, 1, *shape]`
    """

    sizes: Tensor

    @cached_property
    def negated(self) -> Tensor:
        """The negated sizes, by which a kernel multiplies negative coefficients."""
        forbid_in_recording()
        return -self.sizes

    @cached_property
    def features_last(self) -> Tensor:
        """The sizes of maps `[1, C, *spatial]`, as `[D or 1, places, C]`."""
        forbid_in_recording()
        domains, _, _, wide = self.sizes.shape[:4]
        return self.sizes.reshape(domains, wide, -1).mT.contiguous()

    @staticmethod
    def of(sizes: Tensor) -> Sizes:
        """Create them from sizes `[D or 1, *shape]`."""
        return Sizes(sizes.unsqueeze(1).contiguous())

    @torch.no_grad()
    def of_rows(self, rows: Tensor, onto: Tensor | None = None) -> Tensor:
        """Compute `⟨|A|, sizes⟩` `[D, S]` of rows `[D, S, *shape]`, added to `onto`."""
        rows = rows.detach()
        if fused_rows.sums(rows, self.sizes, self.sizes):
            return fused_rows.signed_inner(rows, self.sizes, self.negated, onto)
        return inner(rows.abs(), self.sizes, onto)

    @torch.no_grad()
    def of_windows(self, windows: Windows, onto: Tensor | None = None) -> Tensor:
        """Compute `⟨|A|, sizes⟩` `[D, S]` of rows in windows, added to `onto`."""
        rows = windows.coefficients.detach()
        if fused_windows.applies_without_gradients(rows):
            due = Collected(error=onto, due=self.features_last)
            error = fused_window_sums.row_sums(rows, windows.grid.reach, None, due).error
            assert error is not None
            return error
        windows = windows.with_coefficients(rows)
        if window_blocks.applies(windows):
            table = window_blocks.table_of(self.sizes, windows)
            return added(onto, window_blocks.magnitudes(windows, table))
        return added(onto, sums_of_magnitudes(windows.read(self.sizes) * rows))


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
        if errors.underflow is not None:
            total = total + errors.underflow.unsqueeze(1)
    return lowest - total
