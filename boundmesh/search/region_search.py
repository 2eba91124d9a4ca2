"""The search of one region: its way of splitting, and its attempts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.neurons import neurons_of
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.operators.operator import Interval
from boundmesh.proof.account import SearchAccount
from boundmesh.proof.ladder import FEW_INPUTS, Standing, free_inputs
from boundmesh.runtime.clock import Clock
from boundmesh.search.activation_split import ActivationSplitting
from boundmesh.search.input_split import InputSplitting
from boundmesh.search.parallel.groups import Meetings
from boundmesh.search.refine import RefineEffort, refine
from boundmesh.settings import BranchSettings

# Seconds that all refinements between two attempts count on where no deadline is nearer.
LONGEST_REFINEMENT = 240
# Domains that the rows of one start node are split into, at most.
MOST_PARTS = 2**18
# Domains that the first attempt may bound, at least.
LEAST_PATIENCE = 2048

LookAt = Callable[[Tensor], object]
"""Is told inputs `[K, *input_shape]` worth replaying; says what was found, or None."""


@dataclass(frozen=True)
class RegionSearch:
    """The search of region `domain` of `standing` for its open clauses, from the bounds `known`.

    All groups run it in step: what comes next may depend on the account of all of them and on what
    was said in a meeting, not on what one group alone knows.
    """

    standing: Standing
    domain: int
    problem: Problem
    known: dict[str, Interval]
    settings: BranchSettings
    clock: Clock
    look: LookAt
    meetings: Meetings

    @property
    def clauses(self) -> Tensor:
        return self.standing.open[self.domain].nonzero().flatten()

    def run(self) -> SearchAccount:
        """The account of all groups; raises OutOfTime."""
        is_box = isinstance(self.problem.region, BoxRegion)
        if is_box and _by_input(self.settings, self.problem, self.known):
            return self._split_inputs()
        search = self._split_neurons()
        # What no split of neurons decides may be decided by smaller boxes.
        return self._split_inputs() if is_box and search.stuck and not search.found else search

    def _split_inputs(self) -> SearchAccount:
        """Halve boxes until every clause is refuted on each."""
        question, region = self.standing.question, self.problem.region
        assert isinstance(region, BoxRegion)
        splitting = InputSplitting(
            self.problem,
            question.margins.only(self.clauses),
            question.offset,
            self.settings,
            self.clock,
            self.look,
            self.meetings,
        )
        self.standing.searches.append(splitting.shared.whole)
        with self.clock.stage("branch"):
            return splitting.run(region)

    def _split_neurons(self) -> SearchAccount:
        """Split neurons; while that takes long, sharpen the bounds and begin anew.

        After an attempt's patience the refinement splits deeper, into four times as many domains,
        as the one before. The last attempt, and one whose bounds no refinement sharpens, has no end
        but its own.
        """
        bounds, best = self.known, self.standing.clauses[self.domain, self.clauses]
        attempts = self.settings.refinements
        for attempt in range(attempts + 1):
            splitting = self._splitting(bounds)
            self.standing.searches.append(splitting.shared.whole)
            patience = max(LEAST_PATIENCE, 2 * splitting.batch) * 2 ** max(0, attempt - 1)
            last = attempt == attempts
            with self.clock.stage("branch"):
                search = splitting.run(self.clauses, best, float("inf") if last else patience)
            if last or search.found or not search.open:
                return search
            with self.clock.stage("refine"):
                sharper = self._refined(bounds, splitting, attempt)
            if not _sharper(sharper, bounds):
                break
            bounds = sharper
        with self.clock.stage("branch"):
            return splitting.go_on()

    def _splitting(self, bounds: dict[str, Interval]) -> ActivationSplitting:
        question = self.standing.question
        return ActivationSplitting(
            self.problem,
            bounds,
            question.margins,
            question.offset,
            self.settings,
            self.clock,
            self.look,
            self.meetings,
        )

    def _refined(
        self, bounds: dict[str, Interval], splitting: ActivationSplitting, attempt: int
    ) -> dict[str, Interval]:
        effort = RefineEffort(
            levels=4 + 3 * attempt,
            domains=min(MOST_PARTS, 8 * splitting.batch * 4**attempt),
            seconds=min(self.clock.left, LONGEST_REFINEMENT) / 4,
            ascent=splitting.ascent,
        )
        return refine(self.problem, bounds, effort, self.clock, splitting.batch, self.meetings)


def _sharper(one: dict[str, Interval], other: dict[str, Interval]) -> bool:
    """Whether any bound of one lies inside that of the other."""
    return any(
        bool((one[name].lower > box.lower).any() or (one[name].upper < box.upper).any())
        for name, box in other.items()
    )


def _by_input(settings: BranchSettings, problem: Problem, bounds: dict[str, Interval]) -> bool:
    """Few free inputs, or no undecided neuron that bends at a point: the input is split."""
    splittable = bool((~neurons_of(problem.program, bounds).split_points.isnan()).any())
    if settings.branching != "auto":
        return settings.branching == "input" or not splittable
    return not splittable or free_inputs(problem.region) <= FEW_INPUTS
