"""The four things boundmesh can say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class Counterexample:
    """A replayed point: `input` (float64, flat, inside the exact region) and the `output` that
    ONNX Runtime gave for it (flat), at which clause `clause` of case `case` holds as written.

    Where the region leaves an input a range that holds no float64, such as a single decimal,
    `exact` has the point's true coordinate, by its place, and `input` the float64 nearest to it.
    """

    input: np.ndarray
    output: np.ndarray
    case: int
    clause: int
    exact: Mapping[int, Fraction] = field(default_factory=dict)

    @property
    def point(self) -> np.ndarray:
        """The flat input, in which `exact` coordinates are Fractions."""
        flat = self.input.reshape(-1)
        if not self.exact:
            return flat
        flat = flat.astype(object)
        flat[list(self.exact)] = list(self.exact.values())
        return flat


@dataclass(frozen=True)
class Verified:
    """No counterexample exists; `bound` is the smallest proved margin, > 0."""

    bound: float
    word = "unsat"


@dataclass(frozen=True)
class Falsified:
    """A counterexample exists, and here it is."""

    counterexample: Counterexample
    word = "sat"


@dataclass(frozen=True)
class Unknown:
    """Not decided, why, and the best margin reached (> 0 would have proved it)."""

    reason: str
    bound: float
    word = "unknown"


@dataclass(frozen=True)
class TimedOut:
    """The time ran out; what remained, and the best margin reached."""

    reason: str
    bound: float
    word = "timed-out"


Verdict = Verified | Falsified | Unknown | TimedOut
