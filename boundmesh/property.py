"""A property: regions of inputs, and conditions on outputs that must not occur there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from boundmesh.conditions import (
    Affine,
    Atom,
    Choice,
    Clause,
    Product,
    Terms,
    all_of,
    is_index,
)
from boundmesh.errors import PropertyError
from boundmesh.rational import unwrapped
from boundmesh.regions import Ball, Box, Point

__all__ = [
    "Affine",
    "Atom",
    "Ball",
    "Box",
    "Case",
    "Choice",
    "Clause",
    "Product",
    "Property",
    "Terms",
    "Variable",
]


@dataclass(frozen=True, init=False)
class Case:
    """A region and its clauses: a counterexample is a point of `region` where some clause holds.

    An ∞-ball is replaced by the equal box.
    """

    region: Box | Ball
    clauses: tuple[Clause, ...]

    def __init__(self, region: Box | Ball, clauses: Iterable[Clause]) -> None:
        if not isinstance(region, Box | Ball):
            raise PropertyError(f"a case's region is {region!r:.80}; expected a Box or a Ball")
        if isinstance(region, Ball) and region.p == math.inf:
            region = region.box
        object.__setattr__(self, "region", region)
        object.__setattr__(self, "clauses", all_of(clauses, Clause, "a case's clauses"))

    def __repr__(self) -> str:
        return f"Case({self.region}, {len(self.clauses)} clauses)"


@dataclass(frozen=True)
class Variable:
    """A tensor that a property declares, and its place in the network's flat input or output.

    Its elements, in row-major order, are the flat values from `offset` on, or those at `places`.
    """

    name: str
    role: str
    """`input`, `output`, or `hidden` for a value inside the network, which is one of the outputs.
    """
    shape: tuple[int, ...]
    element_type: str
    """`Real`, or an ONNX element type such as `float32`: then the verdict must hold with that
    type's rounding. It is empty in VNN-LIB 1.0, which has no element types."""
    onnx_name: str | None = None
    offset: int = 0
    network: str | None = None
    """The name of its network in the file."""
    places: tuple[int, ...] | None = None
    """Where the elements are, in a flat input that several of them share; None for `offset` on."""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def where(self) -> Sequence[int]:
        """The index of each element in the flat input or output."""
        return range(self.offset, self.offset + self.size) if self.places is None else self.places


@dataclass(frozen=True)
class Property:
    """A property holds (`unsat`) when no case has a counterexample; without cases it holds.

    cases      the regions with their clauses
    inputs     the number of flat inputs
    outputs    the number of flat outputs, products included
    variables  the tensors that the file declared, in its order
    warnings   messages for the user, for example about a region that is empty because two bounds
               contradict each other
    products   products of inputs and outputs that the clauses refer to as the last outputs
    unbounded  the inputs that lack a bound, with words such as `input X_0 has no upper bound`; in
               regions the largest number of the input's type takes its place
    """

    cases: tuple[Case, ...]
    inputs: int
    outputs: int
    variables: tuple[Variable, ...] = ()
    warnings: tuple[str, ...] = ()
    products: tuple[Product, ...] = ()
    unbounded: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cases", all_of(self.cases, Case, "a property's cases"))
        for role in ("inputs", "outputs"):
            count = getattr(self, role)
            if not is_index(count) or count < 0:
                raise PropertyError(f"a property's number of {role} is {count!r}; expected ≥ 0")
        checked: set[int] = set()
        for place, case in enumerate(self.cases):
            if case.region.size != self.inputs:
                raise PropertyError(
                    f"the region of case {place} has {case.region.size} inputs, the property "
                    f"{self.inputs}"
                )
            # Many cases may share one tuple of clauses.
            if id(case.clauses) not in checked:
                checked.add(id(case.clauses))
                self._check_indices(case.clauses)

    def __repr__(self) -> str:
        clauses = sum(len(case.clauses) for case in self.cases)
        return (
            f"Property(cases: {len(self.cases)}, clauses: {clauses}; {self.inputs} inputs, "
            f"{self.outputs} outputs)"
        )

    def outputs_at(self, x: Point, y: np.ndarray) -> Point:
        """Return the flat output y of the network at x, followed by the exact products.

        A product of a number that is NaN or infinite is NaN.
        """
        if not self.products:
            return y
        values: list[float | Fraction] = y.reshape(-1).tolist()
        for product in self.products:
            left, right = product.left.value(x, values), product.right.value(x, values)
            values.append(math.nan if left is None or right is None else left * right)
        return values

    def _check_indices(self, clauses: tuple[Clause, ...]) -> None:
        for clause in clauses:
            for atom in clause.every_atom:
                for role, terms in (("input", atom.inputs), ("output", atom.outputs)):
                    size = self.inputs if role == "input" else self.outputs
                    if terms and terms[-1][0] >= size:
                        raise PropertyError(
                            f"an atom has {role} {terms[-1][0]}; the property has "
                            f"{size} {role}s, counted from 0"
                        )

    @staticmethod
    def largest(region: Box | Ball, output: int, outputs: int) -> Property:
        """Make the property that output number `output` is the largest one everywhere in `region`.

        Raises PropertyError where there is no such output.
        """
        if not isinstance(region, Box | Ball):
            raise PropertyError(f"the region is {region!r:.80}; expected a Box or a Ball")
        output, outputs = unwrapped(output), unwrapped(outputs)
        if not is_index(outputs) or not is_index(output) or not 0 <= output < outputs:
            raise PropertyError(
                f"output {output!r} of {outputs!r} cannot be the largest; expected a number from "
                "0 on, below the number of outputs"
            )
        one = Fraction(1)
        pairs = [((j, -one), (output, one)) for j in range(outputs) if j != output]
        clauses = tuple(Clause((Atom((), tuple(sorted(pair)), Fraction(0)),)) for pair in pairs)
        return Property((Case(region, clauses),), region.size, outputs)

    @property
    def arithmetics(self) -> frozenset[str]:
        """The arithmetics that the element types name: `real`, or a type such as `float32`.

        Only VNN-LIB 2.0 has element types. Without them the result is empty. Types of whole numbers
        name none, as these do not round.
        """
        types = {variable.element_type for variable in self.variables if variable.element_type}
        real = {name for name in types if not name.startswith(("int", "uint", "bool"))}
        return frozenset("real" if name == "Real" else name for name in real)
