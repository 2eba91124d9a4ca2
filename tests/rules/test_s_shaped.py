"""Sigmoid and tanh: as tight as CROWN's own choice, and reached by α from end to end."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.s_curve import touching_points
from boundmesh.operators.s_shaped import SIGMOID, TANH

CURVES = {"sigmoid": (SIGMOID, 0.5), "tanh": (TANH, 0.0)}
each_op = pytest.mark.parametrize("op", sorted(CURVES))
NODE_SHAPE = (4000,)


def node_of(op: str) -> Node:
    return Node("n", op, ("x",), NODE_SHAPE, (NODE_SHAPE,))


def boxes() -> Interval:
    generator = torch.Generator().manual_seed(12)
    a, b = torch.randn(2, 1, *NODE_SHAPE, generator=generator, dtype=torch.float64)
    scale = 10 ** (torch.rand(1, *NODE_SHAPE, generator=generator, dtype=torch.float64) * 4 - 2)
    return Interval(torch.minimum(a, b) * scale, torch.maximum(a, b) * scale)


def at_middle(lines: Lines, box: Interval) -> tuple[Tensor, Tensor]:
    """Both lines in the middle of the box: their means over it."""
    middle = (box.lower + box.upper) / 2
    assert lines.lower_intercept is not None and lines.upper_intercept is not None
    return (
        lines.lower_slopes[0][:, 0] * middle + lines.lower_intercept[:, 0],
        lines.upper_slopes[0][:, 0] * middle + lines.upper_intercept[:, 0],
    )


def customary_lower(op: str, box: Interval) -> Tensor:
    """The mean over the box of CROWN's line below (arXiv 1811.00866): the tangent in the middle
    where the function is convex, the chord where that is a bound, else the tangent through the
    upper end."""
    curve, offset = CURVES[op]
    low, high = box.lower, box.upper
    middle = (low + high) / 2
    chord = (curve.value(high) - curve.value(low)) / (high - low)
    touched = touching_points(curve.value, curve.slope, high.clamp(min=1e-3))
    through_end = curve.value(touched) + curve.slope(touched) * (middle - touched)
    on_chord = (curve.value(low) + curve.value(high)) / 2
    crossing = torch.where(curve.slope(low) >= chord, on_chord, through_end)
    found = torch.where(high <= 0, curve.value(middle), torch.where(low >= 0, on_chord, crossing))
    return found + offset


@each_op
def test_lines_are_at_least_as_tight_as_the_customary_ones(op: str) -> None:
    box = boxes()
    first = RULES[op].initial(node_of(op), (box,)).unsqueeze(1)
    below, above = at_middle(RULES[op].relax(node_of(op), (box,), first), box)
    mirrored = Interval(-box.upper, -box.lower)
    symmetric = 1.0 if op == "sigmoid" else 0.0
    for found, customary in (
        (below, customary_lower(op, box)),
        (symmetric - above, customary_lower(op, mirrored)),
    ):
        assert (found >= customary - 1e-6 * (1 + customary.abs())).all()


@each_op
def test_alpha_leads_the_touching_point_from_the_lower_end_to_the_upper_on_the_convex_side(
    op: str,
) -> None:
    curve, _ = CURVES[op]
    box = Interval(-boxes().upper.abs() - 2, -boxes().lower.abs().clamp(max=2))
    for alpha in (0.0, 0.5, 1.0):
        chosen = torch.full((1, 1, *NODE_SHAPE), alpha, dtype=torch.float64)
        lines = RULES[op].relax(node_of(op), (box,), chosen)
        point = box.lower + alpha * (box.upper - box.lower)
        torch.testing.assert_close(lines.lower_slopes[0][:, 0], curve.slope(point))


@each_op
def test_the_table_of_touching_points_is_accurate(op: str) -> None:
    curve, _ = CURVES[op]
    ends = 10 ** torch.linspace(-2, 6, 3000, dtype=torch.float64)
    exact = touching_points(curve.value, curve.slope, ends)
    torch.testing.assert_close(curve.touch(ends), exact, rtol=1e-3, atol=1e-5)


def test_a_tangent_through_an_end_touches_where_the_curve_is_convex() -> None:
    ends = torch.linspace(0.01, 30, 500, dtype=torch.float64)
    points = touching_points(torch.tanh, lambda x: 1 / x.cosh().square(), ends)
    tangent = points.tanh() + (ends - points) / points.cosh().square()
    torch.testing.assert_close(tangent, ends.tanh())
    assert (points < 0).all()


@each_op
def test_a_saturated_neuron_is_decided(op: str) -> None:
    box = Interval(torch.full((1, 4), 50.0), torch.full((1, 4), 90.0))
    assert not RULES[op].unstable(node_of(op), (box,)).any()
    wide = Interval(torch.full((1, 4), -math.pi), torch.full((1, 4), 90.0))
    assert RULES[op].unstable(node_of(op), (wide,)).all()
