"""Regions as tensors enclose what was written, and rows are minimised on them exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boundmesh.bounds.sweep.region import BallRegion, BoxRegion, region_tensors
from boundmesh.property import Ball, Box


def test_float32_box_encloses_the_float64_box():
    rng = np.random.default_rng(0)
    lower = rng.normal(size=(1, 500))
    box = Box(lower, lower + rng.choice([0.0, 1e-12, 1e-3], size=lower.shape))
    found = region_tensors([box], (1, 500), torch.float32)
    assert (found.lower.double().numpy() <= box.lower).all()
    assert (found.upper.double().numpy() >= box.upper).all()


def test_float32_box_of_representable_ends_is_not_widened():
    ends = np.float32([[0.1, -2.5, 7.0]]).astype(np.float64)
    found = region_tensors([Box(ends, ends)], (1, 3), torch.float32)
    assert (found.lower == found.upper).all()


@pytest.mark.parametrize("p", [1, 2])
def test_float32_ball_encloses_the_float64_ball(p):
    ball = Ball(np.array([0.1, 1 / 3, 1e4 / 7]), 0.1, p)
    found = region_tensors([ball], (3,), torch.float32)
    moved = np.linalg.norm(found.center[0].double().numpy() - ball.center, ord=p)
    assert moved + ball.radius <= found.radius.double().item()


def test_minimum_over_a_box_is_that_of_its_corners():
    generator = torch.Generator().manual_seed(0)
    lower = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    region = BoxRegion(lower, lower + torch.rand(2, 4, generator=generator, dtype=torch.float64))
    rows = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 4)
    points = region.lower[:, None] + corners * (region.upper - region.lower)[:, None]
    truth = torch.einsum("dsn,dkn->dsk", rows, points).amin(2)
    assert torch.allclose(region.minimum(rows), truth)
    assert torch.allclose((rows * region.minimizer(rows)).sum(2), truth)


@pytest.mark.parametrize("p", [1, 2])
def test_minimum_over_a_ball_is_attained_at_a_point_of_it(p):
    generator = torch.Generator().manual_seed(0)
    center = torch.randn(2, 2, 3, generator=generator, dtype=torch.float64)
    region = BallRegion(center, torch.tensor([0.5, 2.0], dtype=torch.float64), p)
    rows = torch.randn(2, 4, 2, 3, generator=generator, dtype=torch.float64)
    points = region.minimizer(rows)
    moved = torch.linalg.vector_norm((points - center[:, None]).flatten(2), ord=p, dim=2)
    assert torch.allclose(moved, region.radius[:, None].expand(2, 4))
    assert torch.allclose((rows * points).flatten(2).sum(2), region.minimum(rows))
