"""Linear functions on a ball of norm 1 or 2 that is cut to a box.

Over the steps `C = {d : ‖d‖_p ≤ r, l ≤ d ≤ u}` with `l ≤ 0 ≤ u`, every split `A = b + (A − b)` of
a row gives a bound, with 1/p + 1/q = 1:

    min over C of ⟨A, d⟩ ≥ −r·‖b‖_q + ⟨(A − b)⁺, l⟩ + ⟨(A − b)⁻, u⟩

`b = A` leaves the ball alone and `b = 0` the box alone. The best b is A cut to `|b_i| ≤ cap_i`. Let
w_i be the room on the side to which A pushes d_i. For p = 1 the steps of the largest coefficients
use up the radius, and `cap` is the first coefficient that gets less than its room. For p = 2,
`|d_i| = min(w_i, μ·|A_i|)` with `‖d‖ = r`, and `cap_i = w_i/μ`. The bound is then exact.

Functions take A `[D or 1, S, n]`; l and u, `below` and `above`, `[D, 1, n]`; and r `[D, 1, 1]`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boundmesh.operators.inner_products import signed_inner
from boundmesh.operators.rounding import gamma

ROUNDS = 8
"""How often the coordinates of a step that reach an end of the box are determined. Each time there
are no fewer of them, and any number of times gives a sound bound."""


def least(rows: Tensor, below: Tensor, above: Tensor, radius: Tensor, p: float) -> Tensor:
    """Return a number `[D, S]` that is not above `min over C of ⟨A, d⟩`, however it rounds.

    It is exact but for roundings. Underflow is not counted. Gradients to rows are the steps that
    attain the minimum.
    """
    if torch.is_grad_enabled():
        result: Tensor = Least.apply(rows, below, above, radius, p)
        return result
    return _least(rows, below, above, radius, p)


class Least(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, below: Tensor, above: Tensor, radius: Tensor, p: float
    ) -> Tensor:
        ctx.save_for_backward(rows, below, above, radius)
        ctx.p = p
        return _least(rows, below, above, radius, p)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, below, above, radius = ctx.saved_tensors
        steps = farthest(-rows, below, above, radius, ctx.p)
        return (steps * gradient.unsqueeze(2)).sum_to_size(rows.shape), None, None, None, None


def _least(rows: Tensor, below: Tensor, above: Tensor, radius: Tensor, p: float) -> Tensor:
    split = rows.clamp(*_caps(rows, below, above, radius, p))
    dual = float("inf") if p == 1 else 2.0
    of_ball = -radius.squeeze(2) * norm_of(split, dual)
    mixed = signed_inner(rows - split, below, above, of_ball)
    of_box = signed_inner(rows, below, above)
    assert mixed is not None and of_box is not None
    # All terms are ≤ 0, so their sum is relatively exact, and a factor outweighs its roundings.
    roundings = gamma(2 * rows.shape[2] + 32, torch.finfo(rows.dtype).eps / 2)
    return torch.maximum(mixed, of_box) * (1 + roundings)


@torch.no_grad()
def farthest(rows: Tensor, below: Tensor, above: Tensor, radius: Tensor, p: float) -> Tensor:
    """Return the steps of C along which rows rise most, `[D, S, n]`, up to rounding."""
    room = _room(-rows, below, above)
    if p == 1:
        order = rows.abs().expand_as(room).argsort(dim=2, descending=True, stable=True)
        ranked = room.gather(2, order)
        left = radius - (ranked.cumsum(2) - ranked)
        length = torch.empty_like(room).scatter(2, order, left.clamp(min=0).minimum(ranked))
    else:
        size, _ = _scaled(rows)
        length = torch.minimum(room, _slope(size, room, radius) * size)
    return rows.sign() * length


def norm_of(rows: Tensor, order: float) -> Tensor:
    """Compute the norm of `rows` `[D, S, n]` over the last dim, `[D, S]`.

    Coefficients are divided by the largest one before they are squared. Otherwise squares of small
    coefficients would underflow to zero, and the bound would be too high.
    """
    largest = rows.detach().abs().amax(2)
    scale = torch.where((largest > 0) & largest.isfinite(), largest, 1)
    scaled = rows / scale.unsqueeze(2)
    result: Tensor = scale * torch.linalg.vector_norm(scaled, ord=order, dim=2)
    return result


def _caps(
    rows: Tensor, below: Tensor, above: Tensor, radius: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """Return the ends, broadcastable to `[D, S, n]`, to which rows are cut."""
    room = _room(rows, below, above)
    if p == 1:
        size, order = rows.abs().expand_as(room).sort(dim=2, descending=True, stable=True)
        spent = room.gather(2, order).cumsum(2) >= radius
        place = spent.int().argmax(2, keepdim=True)
        cap = torch.where(spent.any(2, keepdim=True), size.gather(2, place), 0)
    else:
        size, scale = _scaled(rows)
        cap = room / _slope(size, room, radius) * scale
    return -cap, cap


def _room(rows: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """Return how far each coordinate can go where the row falls, `[D, S, n]`."""
    return torch.where(rows >= 0, -below, above)


def _scaled(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return absolute coefficients with the largest equal to 1, and the factor `[D, S, 1]`."""
    size = rows.abs()
    scale = size.amax(2, keepdim=True)
    scale = torch.where((scale > 0) & scale.isfinite(), scale, 1)
    return size / scale, scale


def _slope(size: Tensor, room: Tensor, radius: Tensor) -> Tensor:
    """Return μ `[D, S, 1]` with `‖min(room, μ·size)‖_2 = radius`, from below; ∞ without one.

    Coordinates that reach their room keep it, and μ follows from the others. It never falls.
    """
    length = radius**2
    slope = (length / (size**2).sum(2, keepdim=True)).sqrt()
    for _ in range(ROUNDS):
        full = slope * size >= room
        left = (length - torch.where(full, room**2, 0).sum(2, keepdim=True)).clamp(min=0)
        moved = torch.where(full, 0, size**2).sum(2, keepdim=True)
        slope = torch.maximum(slope, torch.where(moved > 0, left / moved, torch.inf).sqrt())
    return slope.clamp(min=torch.finfo(size.dtype).tiny)
