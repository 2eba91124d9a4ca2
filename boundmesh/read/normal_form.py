"""From assertions to cases: the disjunctive normal form over boxes of inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from boundmesh.errors import PropertyError
from boundmesh.property import Atom, Box, Case, Clause
from boundmesh.read.distribute import Branch, distribute
from boundmesh.read.formula import Comparison, Formula
from boundmesh.read.tighten import Bounds, Contradiction, implied, tighten


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
    gather = Gathering()
    for branch in branches:
        bounds, clause = gather(branch)
        if clause is None:
            contradictions.append(bounds.contradiction)
            continue
        _, clauses = groups.setdefault(bounds.key(), (bounds, {}))
        clauses[clause] = None
    cases = tuple(
        Case(box_of(bounds, inputs, name), tuple(clauses)) for bounds, clauses in groups.values()
    )
    return cases, warnings_of(contradictions, name, not cases)


class Gathering:
    """Makes boxes and clauses of branches, each atom and each narrowed box only once."""

    def __init__(self) -> None:
        self.atoms: list[Atom] = []
        self.places: dict[Comparison, int] = {}
        self.narrowed: dict[tuple, tuple[Bounds, bool, frozenset[int]]] = {}

    def __call__(self, branch: Branch) -> tuple[Bounds, Clause | None]:
        """The bounds of a branch and its atoms beyond them, None where no point is left."""
        own = sorted({self.place(comparison) for comparison in branch.comparisons})
        inner = tuple(place for place in own if not self.atoms[place].outputs)
        key = (branch.bounds.key(), inner)
        if key not in self.narrowed:
            atoms = [self.atoms[place] for place in inner]
            possible = tighten(atoms, branch.bounds)
            idle = frozenset(p for p in inner if implied(self.atoms[p], branch.bounds))
            self.narrowed[key] = branch.bounds, possible, idle
        bounds, possible, idle = self.narrowed[key]
        if not possible:
            return bounds, None
        return bounds, Clause(tuple(self.atoms[place] for place in own if place not in idle))

    def place(self, comparison: Comparison) -> int:
        if comparison not in self.places:
            self.places[comparison] = len(self.atoms)
            self.atoms.append(atom_of(comparison))
        return self.places[comparison]


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
