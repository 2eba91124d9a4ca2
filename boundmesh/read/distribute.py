"""Distributes a formula into conjunctions, each with its bounds of single variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from fractions import Fraction
from typing import Any

from boundmesh.property import Atom, Clause
from boundmesh.read.formula import All, Comparison, Formula, Not
from boundmesh.read.opposite_sides import Side, contradictory
from boundmesh.read.tighten import implied, tighten
from boundmesh.read.variable_bounds import Contradiction, VariableBounds

# A literal is a formula, and True if it must hold.
Literal = tuple[Formula, bool]
Disjunction = list[Literal]


@dataclass
class Branch:
    """An unfinished conjunction.

    bounds       the bounds of single variables
    comparisons  the comparisons of several variables
    """

    bounds: VariableBounds
    comparisons: list[Comparison] = field(default_factory=list)

    def fork(self) -> Branch:
        return Branch(self.bounds.fork(), list(self.comparisons))

    def settle(self, literals: Sequence[Literal]) -> list[Disjunction] | None:
        """Add literals that must hold; return the disjunctions left, None on a contradiction."""
        disjunctions: list[Disjunction] = []
        todo = list(reversed(literals))
        while todo:
            formula, wanted = todo.pop()
            if isinstance(formula, Comparison):
                if not self.add(formula if wanted else formula.negated()):
                    return None
            elif isinstance(formula, Not):
                todo.append((formula.part, not wanted))
            else:
                parts = formula.parts
                if isinstance(formula, All) == wanted or len(parts) == 1:
                    todo.extend([(part, wanted) for part in reversed(parts)])
                else:
                    disjunctions.append([(part, wanted) for part in parts])
        return disjunctions

    def add(self, comparison: Comparison) -> bool:
        """Add one comparison; return False where it contradicts the others."""
        terms, bound, strict = comparison.terms, comparison.bound, comparison.strict
        if not terms:
            return bound > 0 or (bound == 0 and not strict)
        if len(terms) > 1:
            self.comparisons.append(comparison)
            return True
        ((variable, coefficient),) = terms
        if coefficient == 1:
            value = bound
        else:
            value = -bound if coefficient == -1 else Fraction(bound) / coefficient
        if strict or variable < 0:
            self.comparisons.append(comparison)
        return self.bounds.narrow(variable, value, coefficient > 0)


def distribute(
    root: Branch, disjunctions: list[Disjunction], limit: int
) -> tuple[list[Branch], list[Contradiction]] | None:
    """Return all conjunctions of `root` with one alternative of every disjunction.

    Contradictory ones are left out; the second result tells why they cannot hold. The result is
    None where more than `limit` conjunctions arise, or ten times as many contradictions.
    """
    branches: list[Branch] = []
    contradictions: list[Contradiction] = []
    stack = [(root, disjunctions)]
    while stack:
        branch, disjunctions = stack.pop()
        if not disjunctions:
            branches.append(branch)
        else:
            first, *rest = disjunctions
            opened = []
            for literal in first:
                child = branch.fork()
                left = child.settle([literal])
                if left is None:
                    contradictions.append(child.bounds.contradiction)
                else:
                    opened.append((child, left + rest))
            stack.extend(reversed(opened))
        if len(branches) + len(stack) > limit or len(contradictions) > 10 * limit:
            return None
    return branches, contradictions


class Gathering:
    """Makes boxes and clauses of branches, each atom and each narrowed box only once."""

    def __init__(self) -> None:
        self.atoms: list[Atom] = []
        self.sides: list[Side] = []
        self.places: dict[Comparison, int] = {}
        self.narrowed: dict[tuple[Any, ...], tuple[VariableBounds, bool, frozenset[int]]] = {}
        self.clauses: dict[tuple[int, ...], Clause | None] = {}

    def __call__(self, branch: Branch) -> tuple[VariableBounds, Clause | None]:
        """Return the bounds of a branch and its other atoms; None where no point is left."""
        places = sorted({self.place(comparison) for comparison in branch.comparisons})
        inner = tuple(place for place in places if not self.atoms[place].outputs)
        if not inner:
            return branch.bounds, self.clause(tuple(places))
        key = (branch.bounds.key(), inner)
        if key not in self.narrowed:
            # Sorted, so that the order in the text does not matter.
            atoms = sorted((self.atoms[place] for place in inner), key=astuple)
            possible = tighten(atoms, branch.bounds)
            idle = frozenset(p for p in inner if implied(self.atoms[p], branch.bounds))
            self.narrowed[key] = branch.bounds, possible, idle
        bounds, possible, idle = self.narrowed[key]
        left = tuple(place for place in places if place not in idle)
        return bounds, self.clause(left) if possible else None

    def clause(self, places: tuple[int, ...]) -> Clause | None:
        """Return the clause of atoms, one object for equal ones; None where it cannot hold."""
        if places not in self.clauses:
            no_value = contradictory([self.sides[place] for place in places])
            made = None if no_value else Clause(tuple(self.atoms[place] for place in places))
            self.clauses[places] = made
        return self.clauses[places]

    def place(self, comparison: Comparison) -> int:
        # Hashes of Fractions take long, so a comparison is looked up once.
        place = self.places.setdefault(comparison, len(self.atoms))
        if place == len(self.atoms):
            self.atoms.append(atom_of(comparison))
            self.sides.append(Side.of(self.atoms[-1]))
        return place


def atom_of(comparison: Comparison) -> Atom:
    """Return the comparison as an Atom, with inputs and outputs counted from 0."""
    terms = [(variable, Fraction(coefficient)) for variable, coefficient in comparison.terms]
    inputs = tuple((variable, coefficient) for variable, coefficient in terms if variable >= 0)
    outputs = tuple((-1 - variable, coefficient) for variable, coefficient in terms if variable < 0)
    return Atom(inputs, outputs, Fraction(comparison.bound), comparison.strict)
