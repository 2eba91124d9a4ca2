"""Chooses points of a property's regions: centres, corners and random points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from boundmesh.graph.graph import Port
from boundmesh.graph.whole import whole_places
from boundmesh.property import Ball, Box

FIRST, EACH, MOST = 5, 16, 256
"""The fewest points of the first region, the most points of one region, and the most of all."""


def sample_points(
    regions: Sequence[Box | Ball], inputs: Sequence[Port], affordable: int, seed: int
) -> np.ndarray:
    """Choose about `affordable` points `[N, inputs]` of all regions, as numbers the inputs hold.

    The first region has at least its centre, two corners and two random points. The others share
    what is left; where there are more regions than points, evenly spaced ones have one point each.
    Regions that are empty have none.
    """
    regions = [region for region in regions if isinstance(region, Ball) or not region.empty]
    if not regions:
        return np.empty((0, sum(port.size for port in inputs)))
    random = np.random.default_rng(seed)
    total = min(max(affordable, FIRST), MOST)
    count = min(total // len(regions), EACH)
    batches = [points(regions[0], max(FIRST, count), random)]
    rest = regions[1:]
    if count > 0:
        batches += [
            points(region, count, random, turn) for turn, region in enumerate(rest, start=1)
        ]
    elif total > FIRST:
        chosen = np.linspace(0, len(rest) - 1, min(total - FIRST, len(rest))).astype(int)
        batches += [points(rest[place], 1, random, turn) for turn, place in enumerate(chosen)]
    return as_typed(np.concatenate(batches), inputs)


def points(
    region: Box | Ball, count: int, random: np.random.Generator, turn: int = 0
) -> np.ndarray:
    """Choose points `[count, inputs]`: the centre, opposite corners, random points and corners.

    Where fewer than four are wanted, `turn` decides which of them come first.
    """
    size = region.lower.size if isinstance(region, Box) else region.center.size
    shares = random.random((max(count, 4), size))
    shares[5::3] = shares[5::3].round()
    shares[0], shares[1], shares[2] = 0.5, 0.0, 1.0
    if count < 4:
        shares = np.roll(shares, -turn, axis=0)
    shares = shares[:count]
    if isinstance(region, Box):
        lower, upper = region.lower.reshape(-1), region.upper.reshape(-1)
        # This sum cannot overflow, and it gives the ends exactly.
        return np.clip(lower * (1 - shares) + upper * shares, lower, upper)
    # Each row becomes a direction. Shares of 0.5 give the centre, and a corner gives a point on the
    # sphere.
    away = 2 * shares - 1
    norms = np.linalg.norm(away, ord=region.p, axis=1, keepdims=True)
    inward = np.where(np.abs(away).min(axis=1, keepdims=True) == 1, 1, random.random((count, 1)))
    away = away / np.where(norms == 0, 1, norms) * inward
    result = region.center.reshape(-1) + float(region.radius) * away
    return result if region.clip is None else np.clip(result, *region.clip)


def as_typed(points: np.ndarray, inputs: Sequence[Port]) -> np.ndarray:
    """Return the points in float64, with each coordinate rounded to the type of its input."""
    types = np.concatenate([np.full(port.size, port.dtype) for port in inputs])
    for dtype in ("float16", "float32"):
        # Coordinates of other types may lie beyond this one; they are not taken from it.
        with np.errstate(over="ignore"):
            rounded = points.astype(dtype).astype(np.float64)
        points = np.where(types == dtype, rounded, points)
    return np.where(whole_places(inputs), np.rint(points), points)
