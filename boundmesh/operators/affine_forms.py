"""Affine forms: values of a network on a box, as affine functions of the input and a remainder.

On the box `center ± radius` of the inputs, each value is

    value = center + Σⱼ slopes[j]·tⱼ + e,      |tⱼ| ≤ 1,  |e| ≤ error,

with tⱼ the place of input j between the ends of its range. Two values that depend on the same
inputs are related by their slopes, which an interval of each does not show.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = torch.finfo(torch.float64).eps
ROUNDINGS = 64
"""Every sum in float64 is taken to be off by so many roundings, and by one more for each term."""


@dataclass(frozen=True)
class AffineForms:
    """Affine forms of N values on D boxes of n inputs, in float64.

    center  `[D, N]`
    slopes  `[D, N, n]`
    error   `[D, N]`, ≥ 0
    """

    center: Tensor
    slopes: Tensor
    error: Tensor

    @property
    def reach(self) -> Tensor:
        """The most by which each value's affine part leaves its centre, `[D, N]`."""
        return self.slopes.abs().sum(2)

    def about(self, middle: Tensor) -> AffineForms:
        """Return the same forms with other centres `[D, N]`; the errors grow by the distances."""
        return AffineForms(middle, self.slopes, self.error + (self.center - middle).abs())


def between(
    below: Tensor, below_bias: Tensor, above: Tensor, above_bias: Tensor, box: tuple[Tensor, Tensor]
) -> AffineForms:
    """Return forms of N values between two affine functions of the inputs.

        ⟨below, x⟩ + below_bias ≤ value ≤ ⟨above, x⟩ + above_bias

    below, above            `[D, N, n]`, float64
    below_bias, above_bias  `[D, N]`, float64
    box                     the ends `[D, n]` of the inputs, float64
    """
    middle, radius = ((box[0] + box[1]) / 2).unsqueeze(1), ((box[1] - box[0]) / 2).unsqueeze(1)
    low, high = (below * middle).sum(2) + below_bias, (above * middle).sum(2) + above_bias
    gap = (high - low + ((above - below).abs() * radius).sum(2)) / 2
    reach = middle.abs() + radius
    size = ((below.abs() + above.abs()) * reach).sum(2) + below_bias.abs() + above_bias.abs()
    share = (ROUNDINGS + below.shape[2]) * EPSILON
    return AffineForms((low + high) / 2, (below + above) / 2 * radius, gap + share * size)


def least_value(forms: Tensor) -> Tensor:
    """Bound `min tᵀQt` over the cube |tⱼ| ≤ 1 from below, for symmetric Q `[*, n, n]`, float64.

    With Q = Σₖ λₖ·vₖvₖᵀ + Δ the bound is Σ min(λₖ, 0)·‖vₖ‖₁² − Σ|Δᵢⱼ|, whatever λ and v are, so
    nothing depends on the accuracy of the eigenvectors. It is 0 where Q is positive semidefinite,
    up to rounding. Where it is higher, the bound is Σ min(Qᵢᵢ, 0) − Σ|Qᵢⱼ| over i ≠ j.
    """
    diagonal = torch.diagonal(forms, dim1=-2, dim2=-1)
    size, share = forms.abs().sum((-1, -2)), (ROUNDINGS + forms.shape[-1] ** 2) * EPSILON
    simple = diagonal.clamp(max=0).sum(-1) - (size - diagonal.abs().sum(-1)) - share * size
    try:
        values, vectors = torch.linalg.eigh(forms)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # It did not converge.
        return simple
    rest = forms - torch.matmul(vectors * values.unsqueeze(-2), vectors.mT)
    norms = vectors.abs().sum(-2).square()
    parts = size + (values.abs() * norms).sum(-1)
    least = (values.clamp(max=0) * norms).sum(-1) - rest.abs().sum((-1, -2)) - share * parts
    return torch.fmax(simple, least)
