"""Raises rows by what McCormick's planes take off in vain for products of related values.

With middles x̄, ȳ and radii r of the factors' ranges, the product and the planes of α = 1/2 differ:

    x·y − (ȳ·x + x̄·y − x̄·ȳ) = (x − x̄)·(y − ȳ) ≥ −r_x·r_y

A row A takes the worst of every product, Σ|Aᵢ|·r_x·r_y, as if all factors were independent. Where
they are affine forms of the same inputs, the sum of the differences is a quadratic form in these,

    Σ Aᵢ·(xᵢ − x̄ᵢ)·(yᵢ − ȳᵢ) = tᵀQt + remainder,     Q = Σ Aᵢ·kᵢhᵢᵀ with slopes k of x and h of y,

and its minimum over the box is often far higher: 0 where Q is positive semidefinite.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.operators.affine_forms import EPSILON, ROUNDINGS, AffineForms, least_value
from boundmesh.operators.interval import Interval

MOST_NUMBERS = 2**24
"""The domains are taken in parts, so that no tensor has many more numbers than these."""


@torch.no_grad()
def joint_gain(
    rows: Tensor, boxes: tuple[Interval, Interval], forms: tuple[AffineForms, AffineForms]
) -> Tensor:
    """Compute by how much McCormick's planes of α = 1/2 are too low for a row, `[D, S]`, float64.

    The bias of every row may be raised by the result, which is ≥ 0.

    rows   `[D or 1, S, *shape]`, coefficients of the products
    boxes  the ranges of both factors, `[D, *shape]`, from which the planes are made
    forms  both factors as affine forms of the same inputs
    """
    weights = rows.flatten(2).double()
    middles, radii = zip(*map(_middle_and_radius, boxes), strict=True)
    first, second = (form.about(middle) for form, middle in zip(forms, middles, strict=True))
    apart = radii[0] * radii[1]
    remainder = first.reach * second.error + (second.reach + second.error) * first.error
    size = weights.abs()
    gained = (size * (apart - remainder).unsqueeze(1)).sum(2)
    whole = apart + remainder + first.reach * second.reach
    share = (ROUNDINGS + sum(first.slopes.shape[1:])) * EPSILON
    gained = gained - share * (size * whole.unsqueeze(1)).sum(2)
    gained = gained + _least(weights.expand(len(gained), -1, -1), first.slopes, second.slopes)
    return torch.where((gained > 0) & gained.isfinite(), gained, 0)


def _least(weights: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Bound `min Σ Aᵢ·⟨left_i, t⟩·⟨right_i, t⟩` over the cube, `[D, S]`, for A `[D, S, N]`.

    It is −∞ where a number is not finite.
    """
    step = max(1, MOST_NUMBERS // max(1, weights[0].numel() * left.shape[2]))
    minima = []
    for first in range(0, len(weights), step):
        part = slice(first, first + step)
        scaled = weights[part].unsqueeze(2) * left[part].mT.unsqueeze(1)
        form = torch.matmul(scaled, right[part].unsqueeze(1))
        form = (form + form.mT) / 2
        finite = form.isfinite().flatten(2).all(2)
        least = least_value(torch.where(finite[..., None, None], form, 0))
        minima.append(torch.where(finite, least, -torch.inf))
    return torch.cat(minima)


def _middle_and_radius(box: Interval) -> tuple[Tensor, Tensor]:
    lower, upper = box.lower.flatten(1).double(), box.upper.flatten(1).double()
    return (lower + upper) / 2, (upper - lower) / 2
