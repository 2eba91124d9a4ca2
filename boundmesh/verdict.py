"""The four verdicts: Verified, Falsified, Unknown and TimedOut."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

POSITIVE = sys.float_info.min
"""Stands for a margin that is proved to be above 0, and whose size was not computed.

Such a proof shows that the conditions of a clause exclude each other, without a bound of their
margins. It is the smallest normal float64, 2.2e-308.
"""


@dataclass(frozen=True)
class Counterexample:
    """A point that ONNX Runtime replayed, and the clause that holds there as written.

    input   the point, float64, flat; it lies inside the exact region
    output  the output that ONNX Runtime computed for it, flat
    case    the number of its case in the property, from 0
    clause  the number of the clause that holds in that case, from 0
    exact   exact coordinates by their index, for ranges of the region that hold no float64, such
            as a single decimal; there `input` is the float64 nearest to the exact coordinate
    single  True if the clause also holds where its conditions are evaluated in float32
    """

    input: np.ndarray
    output: np.ndarray
    case: int
    clause: int
    exact: Mapping[int, Fraction] = field(default_factory=dict)
    single: bool = True

    def __repr__(self) -> str:
        sizes = f"{self.input.size} inputs, {self.output.size} outputs"
        return f"Counterexample({sizes}, case {self.case}, clause {self.clause})"

    @property
    def point(self) -> np.ndarray:
        """The flat input; the coordinates in `exact` are Fractions."""
        flat = self.input.reshape(-1)
        if not self.exact:
            return flat
        flat = flat.astype(object)
        flat[list(self.exact)] = list(self.exact.values())
        return flat


@dataclass(frozen=True)
class Verified:
    """No counterexample exists.

    bound  the smallest proved margin, which is > 0: POSITIVE where a part of the proof gives no
           margin, and ∞ where there was nothing to prove
    """

    bound: float
    word = "unsat"


@dataclass(frozen=True)
class Falsified:
    """`counterexample` shows that the property does not hold.

    `stage` names the stage that found it, if that stage interrupted another one (None: the last).
    """

    counterexample: Counterexample
    stage: str | None = None
    word = "sat"


@dataclass(frozen=True)
class Unknown:
    """The property was not decided.

    reason  why, in words
    bound   the best margin that was reached; a margin > 0 would have been a proof
    """

    reason: str
    bound: float
    word = "unknown"


@dataclass(frozen=True)
class TimedOut:
    """The time ran out.

    reason  what remained to be proved, in words
    bound   the best margin that was reached
    """

    reason: str
    bound: float
    word = "timed-out"


Verdict = Verified | Falsified | Unknown | TimedOut
