"""Do bounds hold what the network computes? No tolerance: numbers are compared as rationals."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

import boundmesh
from tests.adversary import exact
from tests.adversary.generate import Instance
from tests.adversary.judge import float32_outputs, float32_points, likely
from tests.adversary.options import SEMANTICS

METHODS = ("ibp", "crown-ibp", "crown", "alpha-crown")
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Leak:
    """A value outside of a bound: by how much, in the arithmetic `semantics`."""

    what: str
    method: str
    dtype: str
    semantics: str
    excess: float
    scale: float
    point: tuple[float, ...]


def leak(
    lower: np.ndarray, upper: np.ndarray, points: list, values: np.ndarray, doubt: Fraction
) -> tuple[float, float, tuple[float, ...]] | None:
    """By how much a value `[K, outputs]` leaves its bounds, the bound and the point; None where
    all lie inside. A bound that is NaN or infinite claims nothing."""
    ends = [
        (sign, place, Fraction(float(end)))
        for sign, side in ((1, lower), (-1, upper))
        for place, end in enumerate(side.tolist())
        if np.isfinite(end)
    ]
    for point, row in zip(points, values, strict=True):
        for sign, place, end in ends:
            if isinstance(row[place], float) and not np.isfinite(row[place]):
                continue
            outside = sign * (end - Fraction(row[place]))
            if outside > doubt * (1 + abs(end)):
                return float(outside), float(end), tuple(float(x) for x in point)
    return None


def leaks(instance: Instance, folder: Path, method: str, dtype: str, mode: str) -> list[Leak]:
    """What a network's bounds fail to hold over its first region, in the arithmetic of `mode`; in
    real arithmetic for a network of float64."""
    mode = "real" if instance.net.double else mode
    region = instance.regions[0]
    low, high = (np.array([float(x) for x in ends]) for ends in (region.lower, region.upper))
    model, words = instance.write(folder)
    try:
        found = boundmesh.bounds(
            model,
            boundmesh.Box(low, high),
            method=method,
            dtype=dtype,
            device="cpu",
            threads=1,
            iterations=5,
            rounding=mode,
        )
    finally:
        model.unlink()
        words.unlink()

    def inside(point) -> bool:
        return all(
            Fraction(float(a)) <= Fraction(x) <= Fraction(float(b))
            for a, x, b in zip(low, point, high, strict=True)
        )

    seen: list[Leak] = []
    what = f"network {instance.seed}"
    if "real" in SEMANTICS[mode]:
        points = [tuple(map(Fraction, end.tolist())) for end in (low, high)]
        points += [point for point in likely(instance) if inside(point)]
        y, doubt = exact.outputs(instance.net, np.array(points, dtype=object))
        if (out := leak(found.lower, found.upper, points, y, doubt)) is not None:
            seen.append(Leak(what, method, dtype, "real", *out))
    if "float32" in SEMANTICS[mode]:
        narrow = [row for row in float32_points(instance) if inside(row.tolist())]
        for name, y in float32_outputs(instance, np.array(narrow)) if narrow else ():
            values = y.astype(np.float64).astype(object)
            out = leak(found.lower, found.upper, narrow, values, Fraction(0))
            if out is not None:
                seen.append(Leak(what, method, dtype, f"float32 ({name})", *out))
                break
    return seen
