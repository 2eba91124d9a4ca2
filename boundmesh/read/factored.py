"""Keeps disjunctions as choices of one clause where they would multiply to many conjunctions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

from boundmesh.conditions import Choice, Clause
from boundmesh.errors import PropertyError
from boundmesh.property import Atom
from boundmesh.read.distribute import (
    Branch,
    Disjunction,
    Gathering,
    Literal,
    atom_of,
    distribute,
)
from boundmesh.read.formula import All, Comparison, Formula, Not
from boundmesh.read.tighten import ROUNDS, enclose
from boundmesh.read.variable_bounds import Contradiction, VariableBounds

# So many conjunctions are always made: regions are bounded together, and searched one by one.
FEW = 1024
# A disjunction that distributes into more conjunctions, and into twice as many as it has parts, is
# divided.
WIDE = 1024
LIMIT = 100_000


def most_conjunctions(disjunctions: Sequence[Disjunction]) -> int:
    """Return how many conjunctions are made of disjunctions before they are kept factored."""
    return max(FEW, 4 * sum(map(comparisons, disjunctions)))


def conjunctions(literal: Literal) -> int:
    """Return how many conjunctions a literal distributes into."""
    # Formulas may nest deeper than Python recurses. A formula comes off the stack twice: first its
    # parts are put on it, then their counts are combined.
    todo: list[tuple[Formula, bool, bool]] = [(*literal, False)]
    counts: list[int] = []
    while todo:
        formula, wanted, again = todo.pop()
        if isinstance(formula, Comparison):
            counts.append(1)
        elif isinstance(formula, Not):
            todo.append((formula.part, not wanted, False))
        elif again:
            part_counts = [counts.pop() for _ in formula.parts]
            # Nothing is done with numbers as large as this, but they may grow without end.
            combined = prod(part_counts) if isinstance(formula, All) == wanted else sum(part_counts)
            counts.append(min(combined, 10 * LIMIT))
        else:
            todo.append((formula, wanted, True))
            todo += [(part, wanted, False) for part in formula.parts]
    return counts[0]


def comparisons(disjunction: Disjunction) -> int:
    """Return how many comparisons a disjunction has."""
    todo, count = [formula for formula, _ in disjunction], 0
    while todo:
        formula = todo.pop()
        if isinstance(formula, Comparison):
            count += 1
        else:
            todo += [formula.part] if isinstance(formula, Not) else formula.parts
    return count


def factored(
    root: Branch, disjunctions: Sequence[Disjunction]
) -> tuple[VariableBounds, Clause | None, list[Contradiction]]:
    """Return the bounds of inputs and the only clause; None where no point is left.

    A disjunction with one alternative left is merged into the clause's atoms. Inputs are narrowed
    to the smallest range around all alternatives of a disjunction. The last result tells why no
    point is left.
    """
    todo = [small for disjunction in disjunctions for small in divided(disjunction)]
    options: list[list[Branch]] = []
    for _ in range(ROUNDS):
        before, left, options = root.bounds.key(), [], []
        for disjunction in todo:
            distributed = distribute(Branch(root.bounds.fork()), [disjunction], 10 * LIMIT)
            assert distributed is not None, "each of the divided disjunctions has few conjunctions"
            branches, crossed = distributed
            if not branches:
                return root.bounds, None, crossed
            if len(branches) == 1:
                root.comparisons += branches[0].comparisons
                root.bounds = branches[0].bounds
            elif all(adds(branch, root.bounds) for branch in branches):
                left.append(disjunction)
                options.append(branches)
                enclose(root.bounds, [branch.bounds for branch in branches])
        todo = left
        if root.bounds.key() == before:
            break
    bounds, clause = Gathering()(root)
    if clause is None:
        return bounds, None, []
    choices = [Choice([atoms_of(branch, bounds) for branch in branches]) for branches in options]
    kept = [choice for choice in choices if () not in choice.alternatives]
    return bounds, Clause(clause.atoms, kept), []


def divided(disjunction: Disjunction) -> list[Disjunction]:
    """Return disjunctions that must all hold in place of one; each distributes into few parts.

    `a ∨ (b ∧ c)` becomes `a ∨ b` and `a ∨ c` where it would distribute into too many conjunctions.
    Raises PropertyError where more than 10⁵ disjunctions arise.
    """
    todo, done = [flat(disjunction)], []
    while todo:
        parts = todo.pop()
        counts = list(map(conjunctions, parts))
        if sum(counts) <= max(WIDE, 2 * len(parts)):
            done.append(parts)
        else:
            widest = counts.index(max(counts))
            formula, wanted = parts[widest]
            while isinstance(formula, Not):
                formula, wanted = formula.part, not wanted
            assert not isinstance(formula, Comparison)
            rest = parts[:widest] + parts[widest + 1 :]
            todo += [flat([*rest, (part, wanted)]) for part in formula.parts]
        if len(todo) + len(done) > LIMIT:
            raise PropertyError(
                f"an assertion nests disjunctions and conjunctions so that more than {LIMIT} "
                "arise; split it into several assertions"
            )
    return done[::-1]


def flat(disjunction: Disjunction) -> Disjunction:
    """Return the disjunction with the parts of disjunctions in it as its own."""
    parts: Disjunction = []
    todo = disjunction[::-1]
    while todo:
        formula, wanted = todo.pop()
        if isinstance(formula, Not):
            todo.append((formula.part, not wanted))
        elif isinstance(formula, Comparison) or isinstance(formula, All) == wanted:
            parts.append((formula, wanted))
        else:
            todo += [(part, wanted) for part in reversed(formula.parts)]
    return parts


def adds(branch: Branch, bounds: VariableBounds) -> bool:
    """Return True if a branch demands more than the bounds."""
    return bool(branch.comparisons) or branch.bounds.key() != bounds.key()


def atoms_of(branch: Branch, bounds: VariableBounds) -> tuple[Atom, ...]:
    """Return what a branch demands beyond the bounds, as atoms."""
    atoms = [atom_of(comparison) for comparison in branch.comparisons]
    for variable, end in branch.bounds.own_lower.items():
        if variable >= 0 and end > bounds.lower(variable):
            atoms.append(Atom([(variable, Fraction(-1))], (), -Fraction(end)))
    for variable, end in branch.bounds.own_upper.items():
        if variable >= 0 and end < bounds.upper(variable):
            atoms.append(Atom([(variable, Fraction(1))], (), Fraction(end)))
    return tuple(dict.fromkeys(atoms))
