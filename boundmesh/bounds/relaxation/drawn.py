"""Pulls rows back through the relaxation that is drawn for a node.

A stable neuron has the same lines for all rows. In an elementwise node only unstable neurons have
slopes α, bounds that differ between domains, and multipliers β. Their lines are computed
separately and replace those that all rows share.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from boundmesh.bounds.relaxation.cuts import CutChanges
from boundmesh.bounds.sweep.largest_row import meets_at_zero, one_by_one
from boundmesh.kernels import fused_window_sums, fused_windows, sloped_windows
from boundmesh.kernels.pieces import Pieces
from boundmesh.kernels.sums import Collected, added
from boundmesh.operators.linear_bounds import Lines, Pulled, Relaxation, pull_lines
from boundmesh.operators.node import Node
from boundmesh.operators.window_lines import SparseLines, WindowRelaxation, pull_window_lines
from boundmesh.operators.windows import PulledWindows, Windows


@dataclass(frozen=True)
class NeuronLines:
    """Lines of the unstable neurons of an elementwise node.

    index        `[U]`, flat indices of the neurons
    lines        their lines, with slopes `[D, S or 1, U]`
    multipliers  `[D, S, U]`, β·sign of split neurons (None: no splits)
    points       `[U]`, where the neurons are split (None: at zero)
    share        the share of Σ |β·sign·point| that is subtracted from the bias for rounding

    In a domain with split neurons (z − point)·sign ≥ 0 holds. The coefficient of the
    pre-activation z may therefore be lowered by β·sign, and the bias raised by β·sign·point
    (β-CROWN, arXiv 2103.06624).
    """

    index: Tensor
    lines: Relaxation
    multipliers: Tensor | None = None
    points: Tensor | None = None
    share: float = 0.0


@dataclass(frozen=True)
class Drawn:
    """The relaxation of one node for the rows of a tile.

    shared   the lines that all rows share, zero at the neurons of `overlay` (None: the overlay has
             all neurons)
    overlay  the lines of the unstable neurons (None: `shared` has the lines of all neurons)
    sparse   the same lines in a form that is faster for large windows (None: there is none)
    taken    what cuts of the node's inputs change (None: nothing)
    """

    shared: Relaxation | None
    overlay: NeuronLines | None = None
    sparse: SparseLines | None = None
    taken: CutChanges | None = None


def relax_rows(
    drawn: Drawn | Pieces, rows: Tensor | Windows, collected: Collected, node: Node
) -> tuple[Pulled | PulledWindows, Collected]:
    """Pull rows back through a relaxation; return what they have collected then.

    Windows stay windows at an elementwise node, and where the relaxation is a `WindowRelaxation`.
    Elsewhere they become dense. An overlay needs an operator that `meets_at_zero`.
    """
    if isinstance(rows, Windows):
        if isinstance(drawn, Pieces) and _by_kernel(drawn, rows):
            return _relax_by_kernel(drawn, rows, collected)
        collected = rows.collect(collected)
        pulled: Pulled | PulledWindows = relax_windows(drawn, rows, node, collected.bias)
    else:
        pulled = pull_drawn(drawn, rows, node, collected.bias)
    return pulled, Collected(pulled.bias, collected.error)


def _by_kernel(drawn: Pieces, rows: Windows) -> bool:
    """Return True if a kernel pulls these windows back through pieces."""
    if drawn.alpha is None:
        return fused_windows.applies_without_gradients(rows.coefficients)
    return sloped_windows.applies(drawn, rows.coefficients)


def _relax_by_kernel(
    drawn: Pieces, rows: Windows, before: Collected
) -> tuple[PulledWindows, Collected]:
    given, reach = rows.coefficients, rows.grid.reach
    if drawn.alpha is None:
        coefficients, after = fused_window_sums.pull_pieces(given, drawn.lines_last, reach, before)
    else:
        coefficients, after = sloped_windows.pull(drawn, given, reach, before)
    return PulledWindows((rows.with_coefficients(coefficients),)), after


def relax_windows(
    drawn: Drawn | Pieces, rows: Windows, node: Node, onto: Tensor | None
) -> Pulled | PulledWindows:
    """Pull rows in windows back through a relaxation; their bias is added to `onto`."""
    if isinstance(drawn, Drawn) and isinstance(drawn.shared, WindowRelaxation):
        passed = drawn.shared.pull_windows(rows)
        if passed is not None:
            return PulledWindows(passed.windows, added(onto, passed.bias))
    if not isinstance(drawn, Drawn) or not one_by_one(node):
        return pull_drawn(drawn, rows.dense(), node, onto)
    assert isinstance(drawn.shared, Lines)
    sparse = drawn.sparse
    if drawn.overlay is not None:
        assert meets_at_zero(node) and isinstance(drawn.overlay.lines, Lines)
        slopes = drawn.shared.lower_slopes[0]
        pulled = SparseLines(slopes, drawn.overlay.index, drawn.overlay.lines).pull(rows)
    elif sparse is not None and sparse.pays(rows):
        pulled = sparse.pull(rows)
    else:
        pulled = pull_window_lines(drawn.shared, rows)
    return PulledWindows(pulled.windows, added(onto, pulled.bias))


def pull_drawn(
    drawn: Drawn | Pieces, rows: Tensor, node: Node, onto: Tensor | None = None
) -> Pulled:
    """Pull rows `[D, S, *shape]` back through a relaxation; their bias is added to `onto`."""
    if isinstance(drawn, Pieces):
        coefficients, bias = drawn.pull(rows, onto)
        return Pulled((coefficients,), bias)
    pulled = _pull_drawn(drawn, rows, node).onto(onto)
    return pulled if drawn.taken is None else drawn.taken.off(pulled)


def _pull_drawn(drawn: Drawn, rows: Tensor, node: Node) -> Pulled:
    if drawn.overlay is None:
        assert drawn.shared is not None
        return pull_lines(drawn.shared, rows)
    if drawn.shared is None:
        coefficients, bias = _pull_overlay(drawn.overlay, rows)
    else:
        coefficients, bias = _pull_both(drawn.shared, drawn.overlay, rows)
    whole = coefficients.reshape(*coefficients.shape[:2], *node.input_shapes[0])
    gained = _gained(drawn.overlay)
    return Pulled((whole,), bias if gained is None else added(bias, gained))


def _pull_overlay(overlay: NeuronLines, rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """Pull rows back through an overlay that has all neurons."""
    inner = pull_lines(overlay.lines, rows.flatten(2))
    (coefficients,) = inner.coefficients
    if overlay.multipliers is not None:
        coefficients = coefficients - overlay.multipliers
    return coefficients, inner.bias


def _pull_both(
    shared: Relaxation, overlay: NeuronLines, rows: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Pull rows back through the shared lines, and through the overlay at its neurons."""
    outer = pull_lines(shared, rows)
    inner = pull_lines(overlay.lines, rows.flatten(2).index_select(2, overlay.index))
    ((at_neurons,), (all_columns,)) = inner.coefficients, outer.coefficients
    if overlay.multipliers is not None:
        at_neurons = at_neurons - overlay.multipliers
    all_columns = all_columns.flatten(2)
    if len(at_neurons) > len(all_columns):
        all_columns = all_columns.expand(len(at_neurons), -1, -1)
    return all_columns.index_copy(2, overlay.index, at_neurons), added(outer.bias, inner.bias)


def _gained(overlay: NeuronLines) -> Tensor | None:
    """Return what splits at points other than zero add to the bias, `[D, S]`."""
    if overlay.multipliers is None or overlay.points is None:
        return None
    terms = overlay.multipliers * overlay.points
    return terms.sum(2) - overlay.share * terms.detach().abs().sum(2)
