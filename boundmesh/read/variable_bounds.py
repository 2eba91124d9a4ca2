"""Exact bounds of single variables, which forks share as far as they do not change them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from boundmesh.rational import Exact

# An end is exact or infinite.
End = Exact | float
# A contradiction is an input whose bounds crossed, with both bounds, or None for any other reason.
Contradiction = tuple[int, End, End] | None
EMPTY: Mapping[int, Exact] = {}
Number = TypeVar("Number", int | Fraction, Fraction)


@dataclass(frozen=True, eq=False)
class Overlay(Mapping[int, Number]):
    """Two mappings as one; `above` holds where both have a key."""

    below: Mapping[int, Number]
    above: Mapping[int, Number]

    def __getitem__(self, key: int) -> Number:
        return self.above[key] if key in self.above else self.below[key]

    def __iter__(self) -> Iterator[int]:
        yield from self.above
        yield from (key for key in self.below if key not in self.above)

    def __len__(self) -> int:
        return len(self.below) + sum(key not in self.below for key in self.above)


def merged(base: Mapping[int, Exact], own_ends: Mapping[int, Exact]) -> Mapping[int, Exact]:
    """Return both as one mapping; a large one that is no dict is not copied."""
    return {**base, **own_ends} if isinstance(base, dict) else Overlay(base, own_ends)


class VariableBounds:
    """Exact bounds of variables. A fork shares the bounds that it has not changed.

    `contradiction` is the input whose bounds crossed, with both bounds.
    """

    def __init__(
        self,
        base_lower: Mapping[int, Exact] = EMPTY,
        base_upper: Mapping[int, Exact] = EMPTY,
        lower: Mapping[int, Exact] = EMPTY,
        upper: Mapping[int, Exact] = EMPTY,
    ) -> None:
        self.base_lower, self.base_upper = base_lower, base_upper
        self.own_lower, self.own_upper = dict(lower), dict(upper)
        self.contradiction: Contradiction = None
        self._key: tuple[Any, ...] | None = None

    def share(self) -> VariableBounds:
        """Return bounds whose forks all share the bounds known here."""
        return VariableBounds(
            merged(self.base_lower, self.own_lower), merged(self.base_upper, self.own_upper)
        )

    def fork(self) -> VariableBounds:
        return VariableBounds(self.base_lower, self.base_upper, self.own_lower, self.own_upper)

    def key(self) -> tuple[Any, ...]:
        """Return a key that is equal for forks with equal bounds of the inputs."""
        if self._key is None:
            sides = (self.own_lower, self.base_lower), (self.own_upper, self.base_upper)
            self._key = tuple(tuple(sorted(_changed(own_ends, base))) for own_ends, base in sides)
        return self._key

    @property
    def lower_ends(self) -> Mapping[int, Exact]:
        """All lower ends, by variable, without a copy."""
        return Overlay(self.base_lower, self.own_lower)

    @property
    def upper_ends(self) -> Mapping[int, Exact]:
        """All upper ends, by variable, without a copy."""
        return Overlay(self.base_upper, self.own_upper)

    def lower(self, variable: int) -> End:
        end = self._lower(variable)
        return -math.inf if end is None else end

    def upper(self, variable: int) -> End:
        end = self._upper(variable)
        return math.inf if end is None else end

    def _lower(self, variable: int) -> Exact | None:
        own_end = self.own_lower.get(variable)
        return self.base_lower.get(variable) if own_end is None else own_end

    def _upper(self, variable: int) -> Exact | None:
        own_end = self.own_upper.get(variable)
        return self.base_upper.get(variable) if own_end is None else own_end

    def narrow(self, variable: int, value: Exact, above: bool) -> bool:
        """Add `variable ≤ value` (above) or `≥ value`; return False where the bounds then cross."""
        lower, upper = self.own_lower.get(variable), self.own_upper.get(variable)
        if lower is None:
            lower = self.base_lower.get(variable)
        if upper is None:
            upper = self.base_upper.get(variable)
        if above and (upper is None or value < upper):
            self.own_upper[variable] = upper = value
            self._key = None
        elif not above and (lower is None or value > lower):
            self.own_lower[variable] = lower = value
            self._key = None
        if lower is None or upper is None or lower <= upper:
            return True
        if variable >= 0:
            self.contradiction = (variable, self.lower(variable), self.upper(variable))
        return False


def _changed(
    own_ends: Mapping[int, Exact], base: Mapping[int, Exact]
) -> list[tuple[int, tuple[int, int]]]:
    """Return the inputs whose ends differ from those in `base`, with the ends as ratios."""
    # Hashes of Fractions take long.
    ratios = [(v, end.as_integer_ratio()) for v, end in own_ends.items() if v >= 0]
    return [(v, ratio) for v, ratio in ratios if v not in base or own_ends[v] != base[v]]
