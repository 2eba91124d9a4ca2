"""Mixtures of rows: sound for every weight, and complete where no single row suffices."""

from __future__ import annotations

import torch

from boundmesh.bounds.methods.mixture import best_weights, mixed_margin
from boundmesh.bounds.sweep.region import BoxRegion


def boxes(domains: int, inputs: int) -> BoxRegion:
    generator = torch.Generator().manual_seed(1)
    lower = torch.randn(domains, inputs, generator=generator, dtype=torch.float64)
    width = torch.rand(domains, inputs, generator=generator, dtype=torch.float64)
    return BoxRegion(lower, lower + width)


def linear_atoms(domains: int, atoms: int, inputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(domains, atoms, inputs, generator=generator, dtype=torch.float64)
    return rows, torch.randn(domains, atoms, generator=generator, dtype=torch.float64)


def test_a_positive_mixture_leaves_no_point_where_all_atoms_hold():
    region = boxes(200, 3)
    rows, constants = linear_atoms(200, 4, 3)
    margin = mixed_margin(region, rows, constants)[0]
    generator = torch.Generator().manual_seed(3)
    share = torch.rand(500, 200, 3, generator=generator, dtype=torch.float64)
    points = region.lower + share * (region.upper - region.lower)
    values = torch.einsum("dsn,kdn->kds", rows, points) + constants
    assert (values.amax(2).amin(0) >= margin - 1e-9).all()


def test_mixtures_are_never_below_single_rows():
    region = boxes(50, 4)
    rows, constants = linear_atoms(50, 3, 4)
    single = (region.minimum(rows) + constants).amax(1)
    assert (mixed_margin(region, rows, constants)[0] >= single).all()


def test_atoms_that_hold_apart_but_not_together_are_refuted():
    region = BoxRegion(torch.tensor([[-1.0]]), torch.tensor([[1.0]]))
    rows = torch.tensor([[[1.0], [-1.0]]])  # x + 0.5 ≤ 0 and −x + 0.5 ≤ 0
    constants = torch.tensor([[0.5, 0.5]])
    assert (region.minimum(rows) + constants).amax() < 0
    assert torch.allclose(mixed_margin(region, rows, constants)[0], torch.tensor([0.5]))


def test_weights_lie_on_the_simplex():
    region = boxes(50, 4)
    weights = best_weights(region, *linear_atoms(50, 5, 4))
    assert (weights >= 0).all()
    assert torch.allclose(weights.sum(1), torch.ones(50, dtype=torch.float64))


def test_nan_rows_are_refuted_by_no_mixture():
    region = boxes(1, 2)
    rows, constants = linear_atoms(1, 2, 2)
    rows[0, 0, 0] = float("nan")
    assert not (mixed_margin(region, rows, constants)[0] > 0).any()
