"""What is to be proved: regions of inputs and the outputs that must not occur there."""

from __future__ import annotations

import math
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Ball:
    """All inputs with `‖x − center‖_p ≤ radius`, p = 1 or 2 (p = ∞ is a Box)."""

    center: np.ndarray
    radius: float
    p: float


@dataclass(frozen=True)
class Atom:
    """One linear inequality `Σ aᵢ·xᵢ + Σ cⱼ·yⱼ ≤ bound` (`<` where strict) over the flat input x
    and the flat output y; `inputs` and `outputs` hold the pairs (index, coefficient), by index."""

    inputs: Terms
    outputs: Terms
    bound: float
    strict: bool = False


@dataclass(frozen=True)
class Clause:
    """Atoms that must all hold at one point to make it a counterexample."""

    atoms: tuple[Atom, ...]


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

    @property
    def element_types(self) -> frozenset[str]:
        """The element types declared other than `Real`."""
        return frozenset(each.element_type for each in self.variables) - {"Real"}
