"""Distributes a formula into conjunctions, each with its bounds of single variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from boundmesh.errors import PropertyError
from boundmesh.read.formula import All, Comparison, Formula, Not
from boundmesh.read.tighten import Contradiction, VariableBounds

LIMIT = 100_000
# A literal is a formula, and True if it must hold; a choice is a disjunction of literals.
Literal = tuple[Formula, bool]
Choice = list[Literal]


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

    def settle(self, literals: Sequence[Literal]) -> list[Choice] | None:
        """Add literals that must hold; return the disjunctions left, None on a contradiction."""
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


def distribute(root: Branch, choices: list[Choice]) -> tuple[list[Branch], list[Contradiction]]:
    """Return all conjunctions of `root` with one alternative of every choice.

    Contradictory ones are left out; the second result tells why they cannot hold.
    """
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
