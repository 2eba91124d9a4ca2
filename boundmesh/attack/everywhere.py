"""Regions to search where inputs lack a bound: parts of the whole range, from small to large."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from boundmesh.property import Box, Case, Property

RADII = (1.0, 100.0, 1e4, 1e8)
"""How far the parts reach from zero, or from the bound that is nearest to zero."""


def shrunk(property: Property, radius: float) -> Property:
    """Return the property with ranges that lack a bound cut to a radius.

    A property whose inputs all have bounds is returned as it is.
    """
    if not property.unbounded:
        return property
    places = np.fromiter(property.unbounded, dtype=np.int64)
    cases = []
    for case in property.cases:
        box = case.region
        assert isinstance(box, Box)
        lower, upper = box.lower.reshape(-1).copy(), box.upper.reshape(-1).copy()
        near = np.clip(0.0, lower[places], upper[places])
        low = np.maximum(lower[places], near - radius)
        high = np.minimum(upper[places], near + radius)
        moved_low, moved_high = places[low > lower[places]], places[high < upper[places]]
        lower[places], upper[places] = low, high
        exact_lower = {i: e for i, e in box.exact_lower.items() if i not in moved_low}
        exact_upper = {i: e for i, e in box.exact_upper.items() if i not in moved_high}
        cases.append(Case(Box(lower, upper, exact_lower, exact_upper), case.clauses))
    return replace(property, cases=tuple(cases))
