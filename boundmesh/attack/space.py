"""The space of the search: the points of a region, and the directions to move in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from boundmesh.operators.cut_ball import farthest
from boundmesh.property import Ball, Box


class Space(Protocol):
    """A region to search. Points are flat, `[N, inputs]`; a direction of length 1 crosses it."""

    @property
    def center(self) -> Tensor:
        """The middle of the space, `[inputs]`."""
        ...

    def random(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw points from the whole space; they are the same on every device."""
        ...

    def random_step(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw normally distributed steps; a typical one crosses the space."""
        ...

    def project(self, x: Tensor) -> Tensor:
        """Return a point of the space near each x."""
        ...

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the direction of length 1 along which a linear function rises most."""
        ...

    def along(self, gradient: Tensor) -> Tensor:
        """Return the gradient, scaled to a length of at most 1."""
        ...


@dataclass(frozen=True)
class BoxSpace:
    """The box `lower ≤ x ≤ upper`, both `[inputs]`. An input with equal ends never moves."""

    lower: Tensor
    upper: Tensor

    @property
    def center(self) -> Tensor:
        return self.project(self.lower / 2 + self.upper / 2)

    @property
    def width(self) -> Tensor:
        return self.upper - self.lower

    def random(self, count: int, generator: torch.Generator) -> Tensor:
        drawn = torch.rand(count, len(self.lower), generator=generator, dtype=self.lower.dtype)
        return self.project(self.lower + self.width * drawn.to(self.lower.device))

    def random_step(self, count: int, generator: torch.Generator) -> Tensor:
        drawn = torch.randn(count, len(self.lower), generator=generator, dtype=self.lower.dtype)
        return self.width * drawn.to(self.lower.device)

    def project(self, x: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(x, self.lower), self.upper)

    def steepest(self, gradient: Tensor) -> Tensor:
        return self.width * gradient.sign()

    def along(self, gradient: Tensor) -> Tensor:
        change = gradient * self.width
        return self.width * change / largest(change)


@dataclass(frozen=True)
class BallSpace:
    """The ball `‖x − center‖_p ≤ radius`, with `center` `[inputs]` and p = 1 or 2.

    `box` contains the ball, unless the ball is cut to it.
    """

    center: Tensor
    radius: float
    p: float
    box: BoxSpace

    def random(self, count: int, generator: torch.Generator) -> Tensor:
        drawn = torch.randn(count, len(self.center), generator=generator, dtype=self.center.dtype)
        share = torch.rand(count, 1, generator=generator, dtype=self.center.dtype)
        unit = drawn / drawn.norm(p=self.p, dim=1, keepdim=True)
        return self.box.project(self.center + self.radius * (unit * share).to(self.center.device))

    def random_step(self, count: int, generator: torch.Generator) -> Tensor:
        return self.random(count, generator) - self.center

    def project(self, x: Tensor) -> Tensor:
        away = x - self.center
        norm = away.norm(p=self.p, dim=1, keepdim=True)
        near = torch.where(norm > self.radius, self.center + away * (self.radius / norm), x)
        # The centre lies in the box, so cutting a point to the box takes it no farther away.
        return self.box.project(near)

    def steepest(self, gradient: Tensor) -> Tensor:
        ends = (end - self.center for end in (self.box.lower, self.box.upper))
        below, above = (end[None, None] for end in ends)
        radius = gradient.new_full((1, 1, 1), self.radius)
        return farthest(gradient.unsqueeze(0), below, above, radius, self.p).squeeze(0)

    def along(self, gradient: Tensor) -> Tensor:
        result: Tensor = (
            self.radius * gradient / gradient.norm(dim=1, keepdim=True).clamp(min=1e-30)
        )
        return result


def space_of(region: Box | Ball, dtype: torch.dtype, device: torch.device) -> Space:
    """Make the space of a region in a float dtype, with ends rounded inwards.

    Where no value of the dtype lies between two ends (`lo == hi`), both become the value nearest to
    them. An ∞-ball is a box.
    """
    if isinstance(region, Ball) and region.p == math.inf:
        region = region.box
    if isinstance(region, Ball):
        center = torch.from_numpy(np.asarray(region.center, dtype=np.float64).reshape(-1))
        box = _box_space(region.box, dtype, device)
        return BallSpace(center.to(device, dtype), float(region.radius), region.p, box)
    return _box_space(region, dtype, device)


def _box_space(region: Box, dtype: torch.dtype, device: torch.device) -> BoxSpace:
    lower, upper = region.inner
    if dtype != torch.float64:
        low, high = lower.astype(np.float32), upper.astype(np.float32)
        up, down = np.nextafter(low, np.float32(np.inf)), np.nextafter(high, np.float32(-np.inf))
        inner = np.where(low < lower, up, low), np.where(high > upper, down, high)
        between = inner[0] <= inner[1]
        lower, upper = np.where(between, inner[0], low), np.where(between, inner[1], low)
    ends = (torch.from_numpy(np.ascontiguousarray(end)).to(device, dtype) for end in (lower, upper))
    return BoxSpace(*ends)


def largest(change: Tensor) -> Tensor:
    """Return the largest magnitude of each row, `[N, 1]`; it is never zero."""
    return change.abs().amax(1, keepdim=True).clamp(min=1e-30)
