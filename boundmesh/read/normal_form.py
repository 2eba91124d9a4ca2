"""Turns assertions into cases: their disjunctive normal form over boxes of inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from boundmesh.errors import PropertyError
from boundmesh.property import Box, Case, Clause
from boundmesh.rational import Exact, decimal, rounded_all
from boundmesh.read.distribute import Branch, Gathering, distribute
from boundmesh.read.factored import factored, most_conjunctions
from boundmesh.read.formula import Formula
from boundmesh.read.ranges import Decimals, Missed, SimpleRanges
from boundmesh.read.variable_bounds import Contradiction, Overlay, VariableBounds


@dataclass(frozen=True)
class NormalForm:
    """The cases of a query, warnings for the user, and the inputs that lack a bound, with words."""

    cases: tuple[Case, ...]
    warnings: tuple[str, ...]
    unbounded: Mapping[int, str]


def normal_form(
    assertions: Sequence[Formula],
    inputs: int,
    name: Callable[[int], str],
    largest: np.ndarray | None = None,
    ranges: SimpleRanges | None = None,
) -> NormalForm:
    """Turn assertions into cases, and warnings for the user.

    The assertions can hold together only if one of the cases has a counterexample. They are
    distributed into disjunctive normal form, depth first. A branch ends as soon as its bounds
    contradict each other. Bounds of single inputs become a box. Conjunctions over inputs alone
    narrow it by interval reasoning, so that no point is lost. Conjunctions over the same box are
    the clauses of one case. A strict bound of an input is a closed end of the box, and stays as an
    atom. All of this is exact. A conjunction is dropped where it is seen to contradict itself.
    Disjunctions that multiply to many conjunctions become the choices of one clause instead.

    `ranges` are bounds of inputs that hold as well. An end that is missing becomes the end of
    `largest`, the largest number of each input's type. Raises PropertyError for an input without
    bounds if `largest` is None, and where nested disjunctions become too many.
    """
    known = () if ranges is None else (ranges.lower, ranges.upper)
    root = Branch(VariableBounds(*known))
    conjunctions, contradictions = _conjunctions(root, assertions)
    groups: dict[tuple[Any, ...], tuple[VariableBounds, dict[int, Clause]]] = {}
    for bounds, clause in conjunctions:
        if clause is None:
            contradictions.append(bounds.contradiction)
            continue
        _, clauses = groups.setdefault(bounds.key(), (bounds, {}))
        # Equal clauses are one object, and an Atom takes long to hash.
        clauses[id(clause)] = clause
    boxes = InputRanges(root.bounds, inputs, name, largest)
    regions = boxes([bounds for bounds, _ in groups.values()])
    cases = tuple(
        Case(region, tuple(clauses.values()))
        for region, (_, clauses) in zip(regions, groups.values(), strict=True)
    )
    return NormalForm(cases, warnings_of(contradictions, name, not cases), boxes.unbounded)


def _conjunctions(
    root: Branch, assertions: Sequence[Formula]
) -> tuple[list[tuple[VariableBounds, Clause | None]], list[Contradiction]]:
    """Distribute assertions into conjunctions: bounds of the inputs, and the clause there.

    The clause is None where it contradicts itself. The second result tells why no point is left in
    the branches that were dropped.
    """
    disjunctions = root.settle([(assertion, True) for assertion in assertions])
    if disjunctions is None:
        return [], [root.bounds.contradiction]
    root.bounds = root.bounds.share()
    distributed = distribute(root, disjunctions, most_conjunctions(disjunctions))
    if distributed is None:
        bounds, clause, contradictions = factored(root, disjunctions)
        return [(bounds, clause)], contradictions
    branches, contradictions = distributed
    return [*map(Gathering(), branches)], contradictions


class InputRanges:
    """Makes the boxes of bounds that are forks of `root`; most ends are those of `root`."""

    def __init__(
        self,
        root: VariableBounds,
        inputs: int,
        name: Callable[[int], str],
        largest: np.ndarray | None = None,
    ) -> None:
        self.name, self.inputs, self.largest = name, inputs, largest
        self.unbounded: dict[int, str] = {}
        self.lower = ends_of(root.base_lower, inputs, up=False)
        self.upper = ends_of(root.base_upper, inputs, up=True)

    def __call__(self, all_bounds: Sequence[VariableBounds]) -> Iterator[Box]:
        """Yield the box of each of the bounds.

        Raises PropertyError for an input without one of its bounds.
        """
        sides = (
            replaced(self.lower, [bounds.own_lower for bounds in all_bounds], up=False),
            replaced(self.upper, [bounds.own_upper for bounds in all_bounds], up=True),
        )
        for (lower, exact_lower), (upper, exact_upper) in zip(*sides, strict=True):
            if not (np.isfinite(lower) & np.isfinite(upper)).all():
                lower, upper = self.with_all_ends(lower, upper)
            yield Box(lower, upper, exact_lower, exact_upper)

    def with_all_ends(self, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends with the largest number of the input's type where one is missing."""
        for variable in np.flatnonzero(~(np.isfinite(lower) & np.isfinite(upper))).tolist():
            side = "upper" if math.isfinite(lower[variable]) else "lower"
            self.unbounded[variable] = f"input {self.name(variable)} has no {side} bound"
            if self.largest is None:
                raise PropertyError(f"{self.unbounded[variable]}; every input needs both")
        assert self.largest is not None
        return (
            np.where(np.isfinite(lower), lower, -self.largest),
            np.where(np.isfinite(upper), upper, self.largest),
        )


Ends = tuple[np.ndarray, Mapping[int, Fraction]]


def ends_of(base: Mapping[int, Exact], inputs: int, up: bool) -> Ends:
    """Return the upper ends of all inputs if `up` is true, else the lower ones, rounded outward.

    `base` maps a variable to its end. An end that is missing is infinite. The second result holds
    the exact values of the ends that were rounded.
    """
    if not isinstance(base, Overlay) or not isinstance(base.below, Decimals):
        values = np.full(inputs, math.inf if up else -math.inf)
        variables = [variable for variable in base if variable >= 0]
        values[variables], missed = rounded_all([base[variable] for variable in variables], up)
        return values, {variables[i]: Fraction(base[variables[i]]) for i in positions(missed)}
    own_ends = {variable: end for variable, end in base.above.items() if variable >= 0}
    values, mask, variables = base.below.value.copy(), base.below.rounded.copy(), list(own_ends)
    ends = list(own_ends.values())
    values[variables], missed = rounded_all(ends, up)
    mask[variables] = False
    if not missed.any():
        return values, Missed(base.below, mask)
    more = {variables[i]: Fraction(ends[i]) for i in positions(missed)}
    return values, Overlay(Missed(base.below, mask), more)


def positions(mask: np.ndarray) -> list[int]:
    """Return the indices where a flat mask is True."""
    found: list[int] = np.flatnonzero(mask).tolist()
    return found


TOGETHER = 2**20
"""So many ends are replaced in one array at one time, at most."""


def replaced(ends: Ends, own_ends: Sequence[Mapping[int, Exact]], up: bool) -> Iterator[Ends]:
    """Yield, for each mapping, the ends of all inputs with those in the mapping replaced."""
    count = max(1, TOGETHER // max(1, len(ends[0])))
    for first in range(0, len(own_ends), count):
        yield from replaced_together(ends, own_ends[first : first + count], up)


def replaced_together(
    ends: Ends, all_own: Sequence[Mapping[int, Exact]], up: bool
) -> Iterator[Ends]:
    """Do the same in one array of all mappings."""
    rows, variables, flat = [], [], []
    for row, own_ends in enumerate(all_own):
        for variable, end in own_ends.items():
            if variable >= 0:
                rows.append(row)
                variables.append(variable)
                flat.append(end)
    values, missed = rounded_all(flat, up)
    changed = np.repeat(ends[0][None], len(all_own), 0)
    changed[rows, variables] = values
    exact: list[dict[int, Fraction]] = [{} for _ in all_own]
    for i in positions(missed):
        end = flat[i]
        exact[rows[i]][variables[i]] = end if isinstance(end, Fraction) else Fraction(end)
    known = ends[1]
    for row, own_ends in enumerate(all_own):
        if own_ends:
            kept = (
                {variable: end for variable, end in known.items() if variable not in own_ends}
                if known
                else {}
            )
            yield changed[row], kept | exact[row]
        else:
            yield ends


def warnings_of(
    contradictions: list[Contradiction], name: Callable[[int], str], nothing_left: bool
) -> tuple[str, ...]:
    """Make warnings about regions that are empty since bounds of inputs contradict each other."""
    crossed = [contradiction for contradiction in contradictions if contradiction is not None]
    if crossed:
        variable, lower, upper = crossed[0]
        return (
            f"{len(crossed)} of the property's regions are empty, the first since input "
            f"{name(variable)} must be ≥ {decimal(lower)} and ≤ {decimal(upper)}",
        )
    if nothing_left:
        return ("the assertions contradict each other whatever the network computes",)
    return ()
