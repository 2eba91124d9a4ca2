"""The change of a function between two points, with bounds of the second point of its own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boundmesh.operators.interval import Interval
from tests.rules.samples import NONLINEAR, Sample, alphas, at, name_of, points_in, unit_rows

CHANGES = [each for each in NONLINEAR if each.node.op == "change"]


def tied(each: Sample, share: float, seed: int) -> tuple[tuple[Interval, ...], list[list[Tensor]]]:
    """Return boxes of z, d and w, none of them implied by others, and points with w = z + d."""
    (z, w, _), center = each.boxes(seed=seed), torch.zeros(())
    points = list(zip(points_in(z, 40, seed), points_in(w, 40, seed + 1), strict=True))
    radius = share * (w.upper - z.lower).abs().clamp(min=0.1)
    center = points[-1][1] - points[-1][0]
    d = Interval(center - radius, center + radius)
    inside = []
    for first, second in points:
        # The difference is moved into its bounds, and the second point with it where it may be.
        near = (second - first).clamp(d.lower, d.upper)
        fits = (first + near >= w.lower) & (first + near <= w.upper)
        start = torch.where(fits, first, points[-1][0])
        change = torch.where(fits, near, center)
        inside.append([start, change, start + change])
    return (z, d, w), inside


@pytest.mark.parametrize("share", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("each", CHANGES, ids=name_of)
def test_bounds_of_all_three_hold_for_points_that_fit_together(each: Sample, share: float) -> None:
    operator, node = each.operator, each.node
    assert operator.relax is not None
    for seed in range(4):
        boxes, points = tied(each, share, seed)
        box = operator.interval(node, each.weights, *boxes)
        for alpha in alphas(each, boxes):
            pulled = operator.relax(node, boxes, alpha).pull(unit_rows(node, torch.float64))
            for values in points:
                found = operator.forward(node, each.weights, *values)
                flat = found.flatten(1)
                low = at(pulled, values)
                assert (low <= torch.cat((flat, -flat), 1) + 1e-9 * (1 + low.abs())).all()
                assert (box.lower <= found + 1e-9).all() and (found <= box.upper + 1e-9).all()


def test_bounds_of_the_second_point_make_a_change_of_relu_exact() -> None:
    each = CHANGES[0]
    ones = torch.ones(1, *each.node.shape, dtype=torch.float64)
    z, d, w = Interval(0 * ones, 3 * ones), Interval(-ones, ones), Interval(-ones, 4 * ones)
    assert each.operator.unstable is not None
    assert each.operator.unstable(each.node, (z, d, w)).all()
    beyond = (z, d, Interval(0 * ones, 4 * ones))
    assert not each.operator.unstable(each.node, beyond).any()
