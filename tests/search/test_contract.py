"""Contraction loses no point at which a clause can hold."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor

from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.search.contract import contract

MEMBERS = torch.tensor([[0, 1], [2, 2], [3, 4]])


def drawn(seed: int, dtype: torch.dtype) -> tuple[BoxRegion, Tensor, Tensor]:
    """Ten boxes of four inputs, five rows on each; some rows are nowhere positive, or negative."""
    generator = torch.Generator().manual_seed(seed)
    lower = torch.randn(10, 1, 4, generator=generator).to(dtype)
    upper = lower + torch.rand(10, 1, 4, generator=generator).to(dtype)
    rows = torch.randn(10, 5, 1, 4, generator=generator).to(dtype)
    rows[:, :, 0, 1] = 0
    constants = torch.randn(10, 5, generator=generator).double()
    return BoxRegion(lower, upper), rows, constants


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(5))
def test_points_at_which_a_wanted_clause_can_hold_stay_inside(seed: int, dtype: torch.dtype):
    box, rows, constants = drawn(seed, dtype)
    wanted = torch.rand(10, 3, generator=torch.Generator().manual_seed(seed)) < 0.6
    cut, empty = contract(box, rows, constants, MEMBERS, wanted)
    points = box.lower + torch.rand(5000, *box.lower.shape, dtype=dtype) * (box.upper - box.lower)
    values = torch.einsum("kdai,dsai->kds", points.double(), rows.double()) + constants
    holds = (values <= 0)[:, :, MEMBERS].all(3)
    inside = ((points >= cut.lower) & (points <= cut.upper)).flatten(2).all(2)
    assert (inside | ~(holds & wanted).any(2)).all()
    assert not (holds & empty).any()
    assert (cut.lower >= box.lower).all() and (cut.upper <= box.upper).all()
    assert (cut.upper - cut.lower < box.upper - box.lower).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_furthest_point_of_a_row_stays_inside_to_the_last_bit(dtype: torch.dtype):
    box, rows, constants = drawn(7, dtype)
    members, wanted = torch.zeros(1, 1, dtype=torch.long), torch.ones(10, 1, dtype=torch.bool)
    cut, _ = contract(box, rows, constants, members, wanted)
    for domain in range(10):
        low, high, row = (
            [Fraction(value) for value in each[domain].flatten().tolist()]
            for each in (box.lower, box.upper, rows[:, 0])
        )
        ends = [lo if a >= 0 else hi for lo, hi, a in zip(low, high, row, strict=True)]
        least = sum(
            (a * x for a, x in zip(row, ends, strict=True)), Fraction(constants[domain, 0].item())
        )
        if least > 0:
            continue
        for place, a in enumerate(row):
            if a == 0:
                continue
            far = ends[place] - least / a
            assert Fraction(cut.upper[domain, 0, place].item()) >= min(far, high[place]) or a < 0
            assert Fraction(cut.lower[domain, 0, place].item()) <= max(far, low[place]) or a > 0


def test_what_is_no_number_cuts_nothing():
    box, rows, constants = drawn(3, torch.float64)
    wanted = torch.ones(10, 1, dtype=torch.bool)
    members = torch.tensor([[0]])
    for bad in (torch.nan, torch.inf, -torch.inf):
        cut, empty = contract(box, torch.full_like(rows, bad), constants, members, wanted)
        assert torch.equal(cut.lower, box.lower) and torch.equal(cut.upper, box.upper)
        assert not empty.any()
    cut, empty = contract(box, rows, constants * torch.nan, members, wanted)
    assert torch.equal(cut.lower, box.lower) and torch.equal(cut.upper, box.upper)
    assert not empty.any()


def test_atoms_that_exclude_one_another_leave_nothing():
    box = BoxRegion(torch.zeros(1, 2), torch.ones(1, 2))
    rows = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
    constants = torch.tensor([[-0.25, 0.75]], dtype=torch.float64)
    members, wanted = torch.tensor([[0, 1]]), torch.ones(1, 1, dtype=torch.bool)
    _, empty = contract(box, rows, constants, members, wanted)
    assert empty.all()
