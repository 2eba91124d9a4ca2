"""The allowed values of options: numbers within a range, or one of some words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from boundmesh.errors import BoundmeshError

# Larger whole numbers do not fit the fixed-size integers of the libraries that receive them.
MOST = 2**62


@dataclass(frozen=True)
class Number:
    """A range of numbers.

    whole     True for whole numbers, False for real ones
    least     the smallest number
    most      the largest number
    above     True if `least` itself is excluded
    optional  True if None is allowed as well
    """

    whole: bool
    least: float
    most: float = MOST
    above: bool = False
    optional: bool = False

    def read(self, name: str, value: Any) -> Any:
        """Return the value as an int or a float; raises BoundmeshError for one out of range."""
        if value is None and self.optional:
            return None
        number = isinstance(value, Integral if self.whole else Real)
        if number and not isinstance(value, bool):
            # Written so that NaN is refused.
            enough = value > self.least if self.above else value >= self.least
            if enough and value <= self.most:
                with suppress(OverflowError):
                    return int(value) if self.whole else float(value)
        raise BoundmeshError(f"{name} is {shown(value)}; expected {self}")

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        text = f"{kind} {'>' if self.above else '≥'} {self.least:g}"
        if self.most < MOST:
            text += f" and ≤ {self.most:g}"
        return text + (", or None" if self.optional else "")


@dataclass(frozen=True)
class OneOf:
    """The value must be one of `words`."""

    words: Sequence[str]

    def read(self, name: str, value: object) -> Any:
        """Return the value if it is one of the words; raises BoundmeshError for others."""
        if isinstance(value, str) and value in self.words:
            return value
        raise BoundmeshError(f"{name} is {shown(value)}; expected {' '.join(self.words)}")


Ranges = Mapping[str, Number | OneOf]
COUNT = Number(True, 0)
POSITIVE = Number(True, 1)
RATE = Number(False, 0)
SHARE = Number(False, 0, 1, above=True)
SECONDS = Number(False, 0, math.inf, above=True, optional=True)


def read_all(stage: object, ranges: Ranges) -> None:
    """Check the fields of a frozen dataclass against `ranges`, and store the values as read."""
    for name, allowed in ranges.items():
        object.__setattr__(stage, name, allowed.read(name, stage.__dict__[name]))


def shown(value: object) -> str:
    """Return a value as text for an error message, cut where it is long."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:
        # Python refuses to print a whole number with thousands of digits.
        return f"a very long {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
