"""From assertions to cases: the disjunctive normal form over boxes of inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from boundmesh.errors import PropertyError
from boundmesh.property import Atom, Box, Case, Clause
from boundmesh.read.formula import All, Comparison, Formula, Not
from boundmesh.read.tighten import Bounds, implied, outward, tighten

LIMIT = 100_000
# A formula and whether it must hold; a choice is a disjunction of them.
Literal = tuple[Formula, bool]
Choice = list[Literal]
# The input whose bounds crossed, and they; None where something else cannot hold.
Contradiction = tuple[int, float, float] | None


@dataclass
class Branch:
    """One conjunction on its way: bounds of single variables, and the comparisons beyond them."""

    bounds: Bounds
    comparisons: list[Comparison] = field(default_factory=list)

    def fork(self) -> Branch:
        return Branch(self.bounds.fork(), list(self.comparisons))

    def settle(self, literals: Sequence[Literal]) -> list[Choice] | None:
        """Take in what must hold; return the disjunctions left, None on a contradiction."""
        choices: list[Choice] = []
        todo = list(reversed(literals))
        while todo:
            formula, wanted = todo.pop()
            if isinstance(formula, Comparison):
                if not self.add(formula if wanted else formula.negated()):
                    return None
            elif isinstance(formula, Not):
                todo.append((formula.part, not wanted))
            else:
                parts = [(part, wanted) for part in formula.parts]
                if isinstance(formula, All) == wanted or len(parts) == 1:
                    todo.extend(reversed(parts))
                else:
                    choices.append(parts)
        return choices

    def add(self, comparison: Comparison) -> bool:
        """Take in one comparison; False where it contradicts the others."""
        terms, bound, strict = comparison.terms, comparison.bound, comparison.strict
        if not terms:
            return bound > 0 or (bound == 0 and not strict)
        if len(terms) > 1:
            self.comparisons.append(comparison)
            return True
        ((variable, coefficient),) = terms
        upper, exact = coefficient > 0, abs(coefficient) == 1
        if exact:
            value = float(bound if upper else bound.copy_negate()) + 0.0
        else:
            value = outward(Fraction(bound) / Fraction(coefficient), upper)
        if strict or not exact or variable < 0:
            self.comparisons.append(comparison)
        return self.bounds.narrow(variable, value, upper)


def normal_form(
    assertions: Sequence[Formula], inputs: int, name: Callable[[int], str]
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """The cases of which one must have a counterexample for all assertions to hold, and warnings.

    Assertions are distributed into disjunctive normal form, depth first; a branch ends as soon as
    its bounds contradict each other. Bounds of single inputs become the box, in which conjunctions
    over inputs only are narrowed outwards by interval reasoning; conjunctions over the same box
    are the clauses of one case. A strict bound of an input closes the box and stays as an atom.

    Raises PropertyError for an input without bounds and where more than 10⁵ conjunctions arise.
    """
    root = Branch(Bounds())
    choices = root.settle([(assertion, True) for assertion in assertions])
    branches: list[Branch] = []
    contradictions: list[Contradiction] = []
    if choices is None:
        contradictions.append(root.bounds.contradiction)
    else:
        root.bounds = root.bounds.share()
        branches, contradictions = distribute(root, choices)
    groups: dict[tuple, tuple[Bounds, dict[Clause, None]]] = {}
    atoms: dict[Comparison, Atom] = {}
    for branch in branches:
        clause = clause_of(branch, atoms)
        if clause is None:
            contradictions.append(branch.bounds.contradiction)
            continue
        _, clauses = groups.setdefault(branch.bounds.key(), (branch.bounds, {}))
        clauses[clause] = None
    cases = tuple(
        Case(box_of(bounds, inputs, name), tuple(clauses)) for bounds, clauses in groups.values()
    )
    return cases, warnings_of(contradictions, name, not cases)


def distribute(root: Branch, choices: list[Choice]) -> tuple[list[Branch], list[Contradiction]]:
    """All conjunctions in which one alternative of every choice holds beside `root`, and why
    the others cannot hold."""
    branches: list[Branch] = []
    contradictions: list[Contradiction] = []
    stack = [(root, choices)]
    while stack:
        branch, choices = stack.pop()
        if not choices:
            branches.append(branch)
        else:
            first, *rest = choices
            opened = []
            for literal in first:
                child = branch.fork()
                left = child.settle([literal])
                if left is None:
                    contradictions.append(child.bounds.contradiction)
                else:
                    opened.append((child, left + rest))
            stack.extend(reversed(opened))
        if len(branches) + len(stack) > LIMIT or len(contradictions) > 10 * LIMIT:
            raise PropertyError(
                f"the disjunctions multiply to more than {LIMIT} conjunctions; "
                "split the property into several files"
            )
    return branches, contradictions


def clause_of(branch: Branch, atoms: dict[Comparison, Atom]) -> Clause | None:
    """The atoms of a branch beyond its box, which they narrow; None where no point is left."""
    own = []
    for comparison in dict.fromkeys(branch.comparisons):
        if comparison not in atoms:
            atoms[comparison] = atom_of(comparison)
        own.append(atoms[comparison])
    inner = [atom for atom in own if not atom.outputs]
    if not tighten(inner, branch.bounds):
        return None
    idle = {id(atom) for atom in inner if implied(atom, branch.bounds)}
    return Clause(tuple(atom for atom in own if id(atom) not in idle))


def atom_of(comparison: Comparison) -> Atom:
    """The comparison in float64: every number the nearest one to its decimal."""
    terms = [(variable, float(coefficient)) for variable, coefficient in comparison.terms]
    bound = float(comparison.bound)
    if not all(math.isfinite(number) for number in (bound, *(each for _, each in terms))):
        raise PropertyError("a coefficient or bound is beyond the range of float64")
    inputs = tuple((variable, each) for variable, each in terms if variable >= 0 and each)
    outputs = tuple(
        (-1 - variable, each) for variable, each in reversed(terms) if variable < 0 and each
    )
    return Atom(inputs, outputs, bound, comparison.strict)


def box_of(bounds: Bounds, inputs: int, name: Callable[[int], str]) -> Box:
    lower = np.array([bounds.lower(variable) for variable in range(inputs)])
    upper = np.array([bounds.upper(variable) for variable in range(inputs)])
    unbounded = np.flatnonzero(~(np.isfinite(lower) & np.isfinite(upper)))
    if len(unbounded):
        variable = int(unbounded[0])
        side = "upper" if math.isfinite(lower[variable]) else "lower"
        raise PropertyError(f"input {name(variable)} has no {side} bound; every input needs both")
    return Box(lower, upper)


def warnings_of(
    contradictions: list[Contradiction], name: Callable[[int], str], nothing_left: bool
) -> tuple[str, ...]:
    """What to say of regions that are empty since bounds of inputs contradict each other."""
    crossed = [each for each in contradictions if each is not None]
    if crossed:
        variable, lower, upper = crossed[0]
        return (
            f"{len(crossed)} of the property's regions are empty, the first since input "
            f"{name(variable)} must be ≥ {lower!r} and ≤ {upper!r}",
        )
    if nothing_left:
        return ("the assertions contradict each other whatever the network computes",)
    return ()
