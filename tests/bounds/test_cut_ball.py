"""Balls that are cut to a box: rows are minimised exactly over both, and from below."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from boundmesh.bounds.sweep.region import (
    BallRegion,
    BoxRegion,
    CutBallRegion,
    part_of,
    region_tensors,
    region_to,
)
from boundmesh.operators import cut_ball
from boundmesh.property import Ball
from boundmesh.search.float64_bounds import region_in_double

P = pytest.mark.parametrize("p", [1.0, 2.0])


def regions(p: float, size: int = 12, seed: int = 0) -> CutBallRegion:
    """Three balls of different radii whose centres lie inside of their boxes, some at an end."""
    generator = torch.Generator().manual_seed(seed)
    center = torch.rand(3, size, generator=generator, dtype=torch.float64)
    center[:, 0], center[:, 1] = 0.0, 1.0
    radius = torch.tensor([0.2, 0.9, 2.0], dtype=torch.float64)
    return CutBallRegion(center, radius, p, torch.zeros_like(center), torch.ones_like(center))


def rows_of(size: int = 12, count: int = 6, domains: int = 3, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(domains, count, size, generator=generator, dtype=torch.float64)


@P
def test_the_minimum_is_attained_at_a_point_of_the_ball_and_of_the_box(p: float) -> None:
    region, rows = regions(p), rows_of()
    points = region.minimizer(rows)
    assert ((points >= -1e-12) & (points <= 1 + 1e-12)).all()
    moved = torch.linalg.vector_norm(points - region.center[:, None], ord=p, dim=2)
    assert (moved <= region.radius[:, None] * (1 + 1e-12)).all()
    assert torch.allclose((rows * points).sum(2), region.minimum(rows), rtol=1e-9)


@P
def test_a_cut_ball_sent_to_a_device_has_the_same_minimum_and_interval(p: float) -> None:
    region, rows = regions(p), rows_of()
    moved = region_to(region, torch.device("cpu"))
    assert torch.equal(moved.minimum(rows), region.minimum(rows))
    assert torch.equal(moved.interval.lower, region.interval.lower)
    assert torch.equal(moved.interval.upper, region.interval.upper)


@P
def test_the_minimum_lies_below_random_points(p: float) -> None:
    region, rows = regions(p), rows_of()
    generator = torch.Generator().manual_seed(2)
    for _ in range(200):
        away = torch.randn(3, 12, generator=generator, dtype=torch.float64)
        away *= (region.radius / torch.linalg.vector_norm(away, ord=p, dim=1))[:, None]
        points = (region.center + away).clamp(0, 1)
        assert (region.minimum(rows) <= (rows * points[:, None]).sum(2)).all()


@P
def test_the_minimum_is_above_those_of_the_ball_and_of_the_box(p: float) -> None:
    region, rows = regions(p), rows_of(count=50)
    found = region.minimum(rows)
    ball = BallRegion(region.center, region.radius, p).minimum(rows)
    box = BoxRegion(region.lower, region.upper).minimum(rows)
    assert (found >= torch.maximum(ball, box) - 1e-12).all()
    assert (found > torch.maximum(ball, box) + 1e-3).any()


@P
def test_rows_that_are_equal_in_all_domains_get_the_minimum_of_each(p: float) -> None:
    region, rows = regions(p), rows_of(domains=1)
    assert region.minimum(rows).equal(region.minimum(rows.expand(3, -1, -1)))


@P
@pytest.mark.parametrize("size", [1, 7, 500])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e15])
def test_steps_in_float32_lie_below_those_of_exact_arithmetic(
    p: float, size: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(size)
    rows = scale * torch.randn(1, 4, size, generator=generator)
    below = -torch.rand(1, 1, size, generator=generator)
    above = torch.rand(1, 1, size, generator=generator)
    radius = torch.full((1, 1, 1), 0.3 * size ** (1 / p))
    found = cut_ball.least(rows, below, above, radius, p)
    low, high, away = (each.double() for each in (below, above, radius))
    steps = (cut_ball.farthest(-rows.double(), low, high, away, p) * (1 - 1e-15)).clamp(low, high)
    for row, step, least in zip(rows[0].tolist(), steps[0].tolist(), found[0], strict=True):
        length = sum(abs(Fraction(each)) ** int(p) for each in step)
        assert length <= Fraction(radius.item()) ** int(p)
        value = sum(Fraction(a) * Fraction(d) for a, d in zip(row, step, strict=True))
        assert Fraction(least.item()) <= value
        assert least.item() == pytest.approx(float(value), rel=1e-3)


@P
def test_a_row_with_nan_has_no_minimum(p: float) -> None:
    rows = rows_of()
    rows[1, 2, 3] = torch.nan
    found = regions(p).minimum(rows)
    assert found[1, 2].isnan() and found.isnan().sum() == 1


@P
def test_a_ball_of_radius_zero_and_a_box_without_width_are_points(p: float) -> None:
    region, rows = regions(p), rows_of()
    values = (rows * region.center[:, None]).sum(2)
    none = CutBallRegion(region.center, 0 * region.radius, p, region.lower, region.upper)
    flat = CutBallRegion(region.center, region.radius, p, region.center, region.center)
    for each in (none, flat):
        assert torch.allclose(each.minimum(rows), values, rtol=0, atol=1e-12)
        assert (each.minimum(rows) <= values + 1e-13).all()
    assert torch.allclose(flat.minimizer(rows), region.center[:, None].expand_as(rows))


@P
def test_gradients_to_rows_are_the_minimizers(p: float) -> None:
    region, rows = regions(p), rows_of().requires_grad_()
    region.minimum(rows).sum().backward()
    assert rows.grad is not None
    assert torch.allclose(rows.grad, region.minimizer(rows.detach()), atol=1e-6)


@P
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_enclose_cut_balls_beside_balls_that_are_not_cut(
    p: float, dtype: torch.dtype
) -> None:
    center = np.array([0.1, 1 / 3, 0.9])
    balls = [Ball(center, 0.25, p, (0, 1)), Ball(center, 0.5, p)]
    found = region_tensors(balls, (3,), dtype)
    assert isinstance(found, CutBallRegion)
    for ball, low, high in zip(balls, found.lower.double(), found.upper.double(), strict=True):
        assert (low.numpy() <= ball.box.lower).all() and (high.numpy() >= ball.box.upper).all()
    rows = torch.eye(3, dtype=dtype).expand(2, 3, 3)
    assert torch.allclose(found.minimum(rows)[0], found.lower[0], atol=1e-6)
    assert torch.allclose(found.minimum(rows)[1], found.center[1] - 0.5, atol=1e-6)


@P
def test_a_part_and_a_copy_in_float64_keep_the_box(p: float) -> None:
    region = region_tensors([Ball(np.full(3, 0.5), 0.6, p, (0, 1))] * 2, (3,), torch.float32)
    part = region_in_double(part_of(region, torch.tensor([1])))
    assert isinstance(part, CutBallRegion) and part.domains == 1
    assert part.lower.dtype == torch.float64 and (part.lower == 0).all()
