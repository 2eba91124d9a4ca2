"""Balls in the norms 1, 2 and ∞, held exactly as they were given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from boundmesh.errors import PropertyError
from boundmesh.rational import array_of, is_float, outward, rational, unwrapped
from boundmesh.regions.box import Box, Point
from boundmesh.regions.clip import ends_of

NORMS = (1.0, 2.0, math.inf)


@dataclass(frozen=True, eq=False, init=False)
class Ball:
    """All inputs with `‖x − center‖_p ≤ radius`, exactly, and with `low ≤ x ≤ high` for a clip.

    center  a float64 array of the input's shape, or flat
    radius  a float, or a Fraction where no float64 holds it
    p       1, 2 or ∞ (a box)
    clip    the range `(low, high)` that every input is cut to (None: they are not cut)

    Raises PropertyError for another norm, for a radius that is negative or NaN, for a centre that
    is NaN, infinite or beyond float64's precision, and for one outside of the clip.
    """

    center: np.ndarray
    radius: float | Fraction
    p: float
    clip: tuple[float, float] | None = None

    def __init__(
        self, center: Any, radius: Any, p: float, clip: tuple[float, float] | None = None
    ) -> None:
        center = array_of(center, "the ball's center")
        if center.dtype == object:
            center, exact = outward(center, up=True)
            if exact:
                raise PropertyError("no float64 holds the ball's center; round it, or give a Box")
        if not np.isfinite(center).all():
            raise PropertyError("the ball's center is NaN or infinite; expected finite numbers")
        exact_radius = rational(radius, "the ball's radius")
        if exact_radius < 0:
            raise PropertyError(f"the ball's radius is {float(exact_radius):g}; expected ≥ 0")
        norm = unwrapped(p)
        if not isinstance(norm, int | float) or isinstance(norm, bool) or norm not in NORMS:
            raise PropertyError(f"the ball's norm is {p!r}; expected 1, 2 or math.inf")
        if clip is not None:
            low, high = ends_of(clip)
            if not ((low <= center) & (center <= high)).all():
                raise PropertyError(
                    f"the ball's center lies outside of the clip {low:g}…{high:g}; give both in "
                    "the same units"
                )
            clip = float(low), float(high)
        nearest = float(exact_radius)
        equal = is_float(exact_radius, nearest)
        object.__setattr__(self, "center", center)
        object.__setattr__(self, "radius", nearest if equal else exact_radius)
        object.__setattr__(self, "p", float(norm))
        object.__setattr__(self, "clip", clip)

    def __repr__(self) -> str:
        within = f"within {float(self.radius):.6g} in norm {self.p:g}"
        if self.clip is not None:
            within += ", cut to {:g}…{:g}".format(*self.clip)
        return f"Ball({self.size} inputs of shape {list(self.shape)}, {within})"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.center.shape

    @property
    def size(self) -> int:
        return self.center.size

    @property
    def box(self) -> Box:
        """The smallest box around the ball; for p = ∞ they are the same."""
        return Box.around(self.center, self.radius, self.clip)

    @property
    def empty(self) -> bool:
        """Always False, as every ball contains its centre."""
        return False

    @property
    def between(self) -> Mapping[int, Fraction]:
        """Always empty, as every range of a ball contains a float64, its centre."""
        return {}

    def point(self, x: np.ndarray) -> np.ndarray:
        """Return x itself, as every range of a ball contains a float64."""
        return x

    def contains(self, x: Point) -> bool:
        """Return True if the flat point x, of floats or Fractions, lies inside, computed exactly.

        A point with NaN or infinity lies outside.
        """
        values = np.asarray(x).reshape(-1).tolist()
        if len(values) != self.size or not all(math.isfinite(value) for value in values):
            return False
        if self.clip is not None and not all(self.clip[0] <= x <= self.clip[1] for x in values):
            return False
        center = self.center.reshape(-1).tolist()
        away = (abs(Fraction(a) - Fraction(b)) for a, b in zip(values, center, strict=True))
        radius = Fraction(self.radius)
        if self.p == math.inf:
            return all(distance <= radius for distance in away)
        power = int(self.p)
        return sum(distance**power for distance in away) <= radius**power
