"""Holds the input regions of D domains as tensors, and minimises rows over each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import fsum, inf, nextafter

import numpy as np
import torch
from torch import Tensor

from boundmesh.operators import cut_ball
from boundmesh.operators.cut_ball import norm_of
from boundmesh.operators.inner_products import flat, inner, signed_inner
from boundmesh.operators.interval import Interval
from boundmesh.property import Ball, Box
from boundmesh.rational import rounded


@dataclass(frozen=True)
class BoxRegion:
    """D boxes `lower ≤ x ≤ upper`, tensors `[D, *input_shape]`."""

    lower: Tensor
    upper: Tensor

    @property
    def domains(self) -> int:
        return self.lower.shape[0]

    @property
    def interval(self) -> Interval:
        return Interval(self.lower, self.upper)

    def minimum(self, rows: Tensor, onto: Tensor | None = None) -> Tensor:
        """Compute `min ⟨A, x⟩ = ⟨A⁺, lower⟩ + ⟨A⁻, upper⟩`, `[D, S]`.

        `rows` is A, `[D, S, *input_shape]`. The result is added to `onto` `[D, S]`, if it is given.
        """
        lowest = signed_inner(rows, self.lower.unsqueeze(1), self.upper.unsqueeze(1), onto)
        assert lowest is not None
        return lowest

    def minimizer(self, rows: Tensor) -> Tensor:
        """Return the corner of the box that attains `minimum`, `[D, S, *input_shape]`."""
        return torch.where(rows >= 0, self.lower.unsqueeze(1), self.upper.unsqueeze(1))


@dataclass(frozen=True)
class BallRegion:
    """D balls `‖x − center‖_p ≤ radius`, center `[D, *input_shape]`, radius `[D]`, p = 1 or 2."""

    center: Tensor
    radius: Tensor
    p: float

    @property
    def domains(self) -> int:
        return self.center.shape[0]

    @property
    def interval(self) -> Interval:
        reach = self.radius.reshape(-1, *[1] * (self.center.dim() - 1))
        lower, upper = self.center - reach, self.center + reach
        infinite = torch.full_like(lower, torch.inf)
        return Interval(lower.nextafter(-infinite), upper.nextafter(infinite))

    def minimum(self, rows: Tensor, onto: Tensor | None = None) -> Tensor:
        """Compute `⟨A, center⟩ − radius·‖A‖_q`, `[D, S]`, where 1/p + 1/q = 1 (Hölder).

        `rows` is A, `[D, S, *input_shape]`. The result is added to `onto` `[D, S]`, if it is given.
        """
        dual = float("inf") if self.p == 1 else 2.0
        norm = norm_of(rows.flatten(2), dual)
        least = inner(rows, self.center.unsqueeze(1)) - self.radius[:, None] * norm
        return least if onto is None else onto + least

    def minimizer(self, rows: Tensor) -> Tensor:
        """Return the point that attains `minimum`, up to rounding, `[D, S, *input_shape]`.

        For p = 2 it lies from the centre in the direction −A, for p = 1 along the axis of the
        largest coefficient of A.
        """
        flat = rows.flatten(2)
        if self.p == 1:
            place = flat.abs().argmax(2, keepdim=True)
            away = torch.zeros_like(flat).scatter(2, place, flat.gather(2, place).sign())
        else:
            away = torch.nn.functional.normalize(flat, dim=2)
        point = self.center.flatten(1).unsqueeze(1) - self.radius[:, None, None] * away
        return point.reshape(rows.shape)


@dataclass(frozen=True)
class CutBallRegion:
    """D balls that are cut to boxes: `‖x − center‖_p ≤ radius` and `lower ≤ x ≤ upper`, p = 1 or 2.

    center, lower, upper  `[D, *input_shape]`; the centre lies in the box
    radius                `[D]`
    """

    center: Tensor
    radius: Tensor
    p: float
    lower: Tensor
    upper: Tensor

    @property
    def domains(self) -> int:
        return self.center.shape[0]

    @property
    def interval(self) -> Interval:
        around = BallRegion(self.center, self.radius, self.p).interval
        return Interval(around.lower.maximum(self.lower), around.upper.minimum(self.upper))

    def minimum(self, rows: Tensor, onto: Tensor | None = None) -> Tensor:
        """Compute `⟨A, center⟩ + min ⟨A, d⟩` over the steps d, `[D, S]`; see `cut_ball`.

        `rows` is A, `[D, S, *input_shape]`. The result is added to `onto` `[D, S]`, if it is given.
        """
        steps = cut_ball.least(flat(rows), *self._steps, self.p)
        lowest = inner(rows, self.center.unsqueeze(1)) + steps
        return lowest if onto is None else onto + lowest

    def minimizer(self, rows: Tensor) -> Tensor:
        """Return the point that attains `minimum`, up to rounding, `[D, S, *input_shape]`."""
        away = cut_ball.farthest(-flat(rows), *self._steps, self.p)
        return self.center.unsqueeze(1) + away.reshape(rows.shape)

    @property
    def _steps(self) -> tuple[Tensor, Tensor, Tensor]:
        """The ends of steps from the centre, rounded outward, `[D, 1, n]`, and the radius."""
        infinite = torch.full_like(self.center, torch.inf)
        below = (self.lower - self.center).nextafter(-infinite).clamp(max=0)
        above = (self.upper - self.center).nextafter(infinite).clamp(min=0)
        return flat(below.unsqueeze(1)), flat(above.unsqueeze(1)), self.radius[:, None, None]


Region = BoxRegion | BallRegion | CutBallRegion


def part_of(region: Region, domains: Tensor) -> Region:
    """Return the regions of the domains with these indices."""
    if isinstance(region, BoxRegion):
        where = domains.to(region.lower.device)
        return BoxRegion(region.lower[where], region.upper[where])
    where = domains.to(region.center.device)
    ball = BallRegion(region.center[where], region.radius[where], region.p)
    if isinstance(region, BallRegion):
        return ball
    return cut(ball, region.lower[where], region.upper[where])


def cut(ball: BallRegion, lower: Tensor, upper: Tensor) -> CutBallRegion:
    """Return the balls cut to boxes `[D, *input_shape]`."""
    return CutBallRegion(ball.center, ball.radius, ball.p, lower, upper)


def region_to(region: Region, device: torch.device) -> Region:
    """Return the regions on another device."""
    if isinstance(region, BoxRegion):
        return BoxRegion(region.lower.to(device), region.upper.to(device))
    ball = BallRegion(region.center.to(device), region.radius.to(device), region.p)
    if isinstance(region, BallRegion):
        return ball
    return cut(ball, region.lower.to(device), region.upper.to(device))


def region_tensors(
    regions: Sequence[Box | Ball],
    shape: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
) -> Region:
    """Stack boxes, or balls of one p, into tensors of regions that contain them.

    Balls may be cut to boxes. Every end is rounded outward. The distance by which rounding moves
    the centre of a ball is added to its radius. The tensors therefore contain the regions of the
    property, whose numbers may be exact fractions. ∞-balls become boxes.
    """
    regions = [part.box if isinstance(part, Ball) and part.p == inf else part for part in regions]
    balls = [region for region in regions if isinstance(region, Ball)]
    if not balls:
        boxes = [region for region in regions if isinstance(region, Box)]
        lower = _rounded([box.lower for box in boxes], shape, dtype, -np.inf)
        upper = _rounded([box.upper for box in boxes], shape, dtype, np.inf)
        return BoxRegion(lower.to(device), upper.to(device))
    center = torch.from_numpy(np.stack([np.reshape(ball.center, shape) for ball in balls]))
    near = center.to(dtype)
    # The difference of each coordinate is a float64. ‖·‖_p ≤ ‖·‖_1 holds for every p ≥ 1.
    moved = (center - near.double()).abs().flatten(1).numpy()
    reach = [_enlarged(ball.radius, by) for ball, by in zip(balls, moved, strict=True)]
    radius = _rounded(reach, (), dtype, np.inf)
    stacked = BallRegion(near.to(device), radius.to(device), balls[0].p)
    if all(ball.clip is None for ball in balls):
        return stacked
    box = region_tensors([ball.box for ball in balls], shape, dtype, device)
    assert isinstance(box, BoxRegion)
    return cut(stacked, box.lower, box.upper)


def _enlarged(radius: float | Fraction, moved: np.ndarray) -> np.ndarray:
    """Return a float64 that is not below `radius` plus the sum of `moved`."""
    by = fsum(moved[moved > 0].tolist())
    if by == inf:
        return np.asarray(inf)
    # fsum rounds once, so the next float64 above is not below the exact sum.
    exact = Fraction(radius) + Fraction(nextafter(by, inf) if by else 0)
    return np.asarray(rounded(exact, up=True))


def _rounded(
    arrays: Sequence[np.ndarray], shape: tuple[int, ...], dtype: torch.dtype, toward: float
) -> Tensor:
    exact = np.stack([np.reshape(np.asarray(a, dtype=np.float64), shape) for a in arrays])
    if dtype == torch.float64:
        return torch.from_numpy(exact)
    with np.errstate(over="ignore"):
        near = exact.astype(np.float32)
    inside = near > exact if toward < 0 else near < exact
    return torch.from_numpy(np.where(inside, np.nextafter(near, np.float32(toward)), near))
