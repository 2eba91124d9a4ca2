"""What is to be proved: regions of inputs and the outputs that must not occur there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

Terms = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Box:
    """All inputs with `lower ≤ x ≤ upper`, float64 arrays of the input's shape (or flat)."""

    lower: np.ndarray
    upper: np.ndarray

    @staticmethod
    def around(x, eps, clip: tuple[float, float] | None = None) -> Box:
        """The box `[x − eps, x + eps]`, cut to `clip`; eps a number or an array like x."""
        x = np.asarray(x, dtype=np.float64)
        lower, upper = x - eps, x + eps
        return (
            Box(lower, upper) if clip is None else Box(np.clip(lower, *clip), np.clip(upper, *clip))
        )

    @property
    def empty(self) -> bool:
        return bool((self.lower > self.upper).any())

    def contains(self, x: np.ndarray) -> bool:
        """Whether the flat float64 point x lies inside, with no tolerance; NaN lies nowhere."""
        return bool(((self.lower.reshape(-1) <= x) & (x <= self.upper.reshape(-1))).all())


@dataclass(frozen=True)
class Ball:
    """All inputs with `‖x − center‖_p ≤ radius`, p = 1 or 2 (p = ∞ is a Box)."""

    center: np.ndarray
    radius: float
    p: float

    def contains(self, x: np.ndarray) -> bool:
        """Whether the flat float64 point x lies inside, in exact arithmetic; NaN lies nowhere."""
        if not np.isfinite(x).all():
            return False
        power = int(self.p)
        pairs = zip(x.tolist(), self.center.reshape(-1).tolist(), strict=True)
        distance = sum(abs(Fraction(a) - Fraction(b)) ** power for a, b in pairs)
        return distance <= Fraction(self.radius) ** power


@dataclass(frozen=True)
class Atom:
    """One linear inequality `Σ aᵢ·xᵢ + Σ cⱼ·yⱼ ≤ bound` (`<` where strict) over the flat input x
    and the flat output y; `inputs` and `outputs` hold the pairs (index, coefficient), by index."""

    inputs: Terms
    outputs: Terms
    bound: float
    strict: bool = False

    def holds(self, x: np.ndarray, y: np.ndarray) -> bool:
        """Whether flat x and y satisfy it, in exact arithmetic; NaN and Inf satisfy nothing."""
        terms = [(c, float(x[i])) for i, c in self.inputs]
        terms += [(c, float(y[j])) for j, c in self.outputs]
        if not all(math.isfinite(value) for _, value in terms):
            return False
        total = sum((Fraction(c) * Fraction(value) for c, value in terms), Fraction(0))
        return total < Fraction(self.bound) or (total == Fraction(self.bound) and not self.strict)


@dataclass(frozen=True)
class Clause:
    """Atoms that must all hold at one point to make it a counterexample."""

    atoms: tuple[Atom, ...]

    def holds(self, x: np.ndarray, y: np.ndarray) -> bool:
        """Whether every atom holds at flat x and y, exactly as written."""
        return all(atom.holds(x, y) for atom in self.atoms)


@dataclass(frozen=True)
class Case:
    """A counterexample of this case: a point of `region` at which some clause holds."""

    region: Box | Ball
    clauses: tuple[Clause, ...]


@dataclass(frozen=True)
class Variable:
    """A tensor that a property declares, and where it lies in the network's flat input or output:
    its elements, in row-major order, are the flat values from `offset` on."""

    name: str
    role: str
    """`input` or `output`."""
    shape: tuple[int, ...]
    element_type: str
    """`Real`, or an ONNX element type such as `float32`, which asks for that type's rounding."""
    onnx_name: str | None = None
    offset: int = 0

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Property:
    """Holds (`unsat`) when no case has a counterexample; without any case it holds trivially.

    `variables` are what the file declared, in its order; `warnings` say what its reader should
    hear about, such as a region that is empty because two bounds contradict each other.
    """

    cases: tuple[Case, ...]
    inputs: int
    outputs: int
    variables: tuple[Variable, ...] = ()
    warnings: tuple[str, ...] = ()

    @staticmethod
    def largest(region: Box | Ball, output: int, outputs: int) -> Property:
        """Output number `output` of `outputs` is greater than every other one all over `region`."""
        pairs = [((j, -1.0), (output, 1.0)) for j in range(outputs) if j != output]
        clauses = tuple(Clause((Atom((), tuple(sorted(pair)), 0.0),)) for pair in pairs)
        point = region.lower if isinstance(region, Box) else region.center
        return Property((Case(region, clauses),), point.size, outputs)

    @property
    def element_types(self) -> frozenset[str]:
        """The element types declared other than `Real`."""
        return frozenset(each.element_type for each in self.variables) - {"Real"}
