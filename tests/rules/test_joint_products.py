"""Products of related values: what a row gains never lifts its bound above a value that exists."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from boundmesh.operators.affine_forms import AffineForms, between, least_value
from boundmesh.operators.interval import Interval
from boundmesh.operators.joint_products import joint_gain

DTYPE = torch.float64
DOMAINS, FACTORS = 3, 4


def corners(inputs: int) -> Tensor:
    """Return the corners of the cube, `[2ⁿ, n]`."""
    return torch.tensor([*itertools.product((-1.0, 1.0), repeat=inputs)], dtype=DTYPE)


def points(inputs: int, generator: torch.Generator) -> Tensor:
    inside = 2 * torch.rand(200, inputs, generator=generator, dtype=DTYPE) - 1
    return torch.cat([corners(inputs), inside])


def forms(inputs: int, scale: float, error: float, generator: torch.Generator) -> AffineForms:
    def random(*shape: int) -> Tensor:
        return torch.randn(DOMAINS, FACTORS, *shape, generator=generator, dtype=DTYPE)

    return AffineForms(random(), scale * random(inputs), error * random().abs())


def box_of(form: AffineForms, generator: torch.Generator) -> Interval:
    """Return ranges that contain all values of the forms, and some others."""
    reach, wider = form.reach + form.error, torch.rand(2, generator=generator, dtype=DTYPE)
    return Interval(form.center - (1 + wider[0]) * reach, form.center + (1 + wider[1]) * reach)


def planes(rows: Tensor, boxes: tuple[Interval, Interval], x: Tensor, y: Tensor) -> Tensor:
    """Compute McCormick's planes of α = 1/2 at values `[D, K, N]`, for rows `[D, S, N]`."""
    (mx, rx), (my, ry) = (
        ((box.lower + box.upper).unsqueeze(1) / 2, (box.upper - box.lower).unsqueeze(1) / 2)
        for box in boxes
    )
    middle = my * x + mx * y - mx * my
    return torch.einsum("dsn,dkn->dsk", rows, middle) - (rows.abs() * rx * ry).sum(2)[..., None]


@pytest.mark.parametrize("error", [0.0, 1e-3, 3.0])
@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0, 1e6])
@pytest.mark.parametrize("inputs", [1, 2, 6])
def test_no_product_of_values_that_exist_lies_below_its_raised_plane(
    inputs: int, scale: float, error: float
) -> None:
    generator = torch.Generator().manual_seed(inputs)
    factors = [forms(inputs, scale, error, generator) for _ in range(2)]
    boxes = box_of(factors[0], generator), box_of(factors[1], generator)
    rows = torch.randn(DOMAINS, 5, FACTORS, generator=generator, dtype=DTYPE)
    gain = joint_gain(rows, boxes, (factors[0], factors[1]))
    assert bool((gain >= 0).all())
    t = points(inputs, generator)
    values = []
    for form in factors:
        off = (
            2 * torch.rand(DOMAINS, len(t), FACTORS, generator=generator, dtype=DTYPE) - 1
        ).sign()
        at = form.center[:, None] + torch.einsum("dni,ki->dkn", form.slopes, t)
        values.append(at + form.error[:, None] * off)
    x, y = values
    product = torch.einsum("dsn,dkn->dsk", rows, x * y)
    below = planes(rows, boxes, x, y) + gain[..., None]
    size = torch.einsum("dsn,dkn->dsk", rows.abs(), (x * y).abs() + 1)
    assert bool((below <= product + 1e-12 * (1 + scale) ** 2 * size).all())


def test_a_square_written_as_a_product_loses_nothing_below_and_all_above() -> None:
    generator = torch.Generator().manual_seed(0)
    form = forms(3, 1.0, 0.0, generator)
    box = Interval(form.center - form.reach, form.center + form.reach)
    rows = torch.ones(DOMAINS, 1, FACTORS, dtype=DTYPE)
    lost = form.reach.square().sum(1, keepdim=True)
    assert torch.allclose(joint_gain(rows, (box, box), (form, form)), lost)
    # −Σ xᵢ² does reach what the planes take off where the corner of all squares is the same.
    same = AffineForms(form.center, form.slopes[:, :1].expand(-1, FACTORS, -1), form.error)
    box = Interval(same.center - same.reach, same.center + same.reach)
    gain = joint_gain(-rows, (box, box), (same, same))
    assert float(gain.max()) <= 1e-9


def test_numbers_that_are_not_finite_gain_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    form = forms(2, 1.0, 0.0, generator)
    box = box_of(form, generator)
    rows = torch.ones(DOMAINS, 1, FACTORS, dtype=DTYPE)
    for bad in (torch.nan, torch.inf, -torch.inf):
        slopes, error = form.slopes.clone(), form.error.clone()
        slopes[0, 0, 0], error[1, 0] = bad, abs(bad)
        gain = joint_gain(rows, (box, box), (form, AffineForms(form.center, slopes, error)))
        assert gain[0] == 0 and gain[1] == 0 and gain[2] > 0


@pytest.mark.parametrize("kind", ["indefinite", "positive", "negative", "of rank one", "zero"])
@pytest.mark.parametrize("inputs", [1, 2, 5])
def test_a_quadratic_form_is_nowhere_in_the_cube_below_its_least_value(
    kind: str, inputs: int
) -> None:
    generator = torch.Generator().manual_seed(7)
    root = torch.randn(20, inputs, inputs, generator=generator, dtype=DTYPE)
    square, vector = torch.matmul(root, root.mT), root[..., :1]
    form = {
        "indefinite": root + root.mT,
        "positive": square,
        "negative": -square,
        "of rank one": -torch.matmul(vector, vector.mT),
        "zero": 0 * root,
    }[kind]
    least, t = least_value(form), points(inputs, generator)
    values = torch.einsum("ki,dij,kj->dk", t, form, t)
    assert bool((least <= values.amin(1) + 1e-12).all())
    if kind in ("positive", "zero"):
        assert bool((least >= -1e-11 * (1 + form.abs().sum((1, 2)))).all())
    if kind == "of rank one":
        assert torch.allclose(least, values.amin(1))


def test_values_between_two_affine_functions_lie_in_their_form() -> None:
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> Tensor:
        return torch.randn(DOMAINS, *shape, generator=generator, dtype=DTYPE)

    lower = random(2)
    box = lower, lower + random(2).abs()
    below, above, bias = random(FACTORS, 2), random(FACTORS, 2), random(FACTORS)
    t = points(2, generator)
    x = (box[0] + box[1])[:, None] / 2 + (box[1] - box[0])[:, None] / 2 * t
    apart = torch.einsum("dni,dki->dkn", above - below, x).amin(1)
    form = between(below, bias, above, bias - apart, box)
    for slopes, constant in ((below, bias), (above, bias - apart)):
        value = torch.einsum("dni,dki->dkn", slopes, x) + constant[:, None]
        affine = form.center[:, None] + torch.einsum("dni,ki->dkn", form.slopes, t)
        assert bool(((value - affine).abs() <= form.error[:, None] + 1e-12).all())
