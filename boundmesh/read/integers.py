"""Cuts the regions of a property to whole numbers where a network's inputs are whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from boundmesh.errors import PropertyError
from boundmesh.graph.graph import Port
from boundmesh.graph.whole import MOST, is_whole, range_of, whole_places
from boundmesh.property import Ball, Box, Case, Property

MOST_POINTS = 4096
"""So many combinations of whole inputs, over all regions, are bounded one by one."""


def at_whole_numbers(prop: Property, inputs: Sequence[Port]) -> Property:
    """Return the property with boxes whose whole inputs have whole ends, within their types.

    A box without a whole number in some range has no input, and is dropped. Where the whole inputs
    of all boxes have at most `MOST_POINTS` combinations, each combination becomes a box of its own.
    Raises PropertyError for a ball of whole inputs, and for a range beyond ±2²⁴.
    """
    whole = whole_places(inputs)
    if not whole.any() or not prop.cases:
        return prop
    cases = [cut for case in prop.cases for cut in cut_to(case, whole, inputs, prop)]
    if prop.unbounded:
        return replace(prop, cases=tuple(cases))
    indices = np.flatnonzero(whole)
    counts = [
        [int(box.upper.flat[i] - box.lower.flat[i]) + 1 for i in indices]
        for box in (case.region for case in cases)
        if isinstance(box, Box)
    ]
    if sum(map(math.prod, counts)) <= MOST_POINTS:
        cases = [point for case in cases for point in enumerated(case, indices)]
    return replace(prop, cases=tuple(cases))


def cut_to(case: Case, whole: np.ndarray, inputs: Sequence[Port], prop: Property) -> Iterator[Case]:
    """Yield the case with whole ends; nothing where a range has no whole number."""
    box = case.region
    if isinstance(box, Ball):
        raise PropertyError("a ball has inputs that are not whole numbers; give a Box")
    if box.empty:
        return
    lower, upper = box.lower.copy(), box.upper.copy()
    exact = [
        {index: end for index, end in ends.items() if not whole[index] or index in prop.unbounded}
        for ends in (box.exact_lower, box.exact_upper)
    ]
    limits = limits_of(inputs)
    for index in np.flatnonzero(whole).tolist():
        if index in prop.unbounded:
            continue
        low = math.ceil(box.exact_lower.get(index, lower.flat[index]))
        high = math.floor(box.exact_upper.get(index, upper.flat[index]))
        low, high = max(low, limits[index][0]), min(high, limits[index][1])
        if low > high:
            return
        if max(-low, high) > MOST:
            raise PropertyError(
                f"whole input {index} reaches from {low} to {high}; bounds of whole inputs lie "
                f"within ±{MOST}"
            )
        lower.flat[index], upper.flat[index] = low, high
    yield Case(Box(lower, upper, *exact), case.clauses)


def limits_of(inputs: Sequence[Port]) -> list[tuple[int, int]]:
    """Return the least and the largest whole number of each flat input; (0, 0) for real ones."""
    return [
        range_of(port.dtype) if is_whole(port.dtype) else (0, 0)
        for port in inputs
        for _ in range(port.size)
    ]


def enumerated(case: Case, indices: np.ndarray) -> Iterator[Case]:
    """Yield a case for each combination of the whole numbers in the ranges at `indices`."""
    box = case.region
    assert isinstance(box, Box)
    ranges = [range(int(box.lower.flat[i]), int(box.upper.flat[i]) + 1) for i in indices]
    for point in product(*ranges):
        lower, upper = box.lower.copy(), box.upper.copy()
        lower.flat[indices] = upper.flat[indices] = point
        yield Case(Box(lower, upper, box.exact_lower, box.exact_upper), case.clauses)
