"""The search of one region: it chooses what to split, and starts anew with sharper bounds."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.neurons import neurons_of
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.operators.interval import Interval
from boundmesh.proof.account import SearchAccount
from boundmesh.proof.ladder import FEW_INPUTS
from boundmesh.proof.question import free_inputs
from boundmesh.proof.standing import Standing
from boundmesh.runtime.clock import Clock
from boundmesh.search.activation_split import ActivationSplitting
from boundmesh.search.input_split import InputSplitting
from boundmesh.search.parallel.groups import Meetings
from boundmesh.search.refine import RefineEffort, refine
from boundmesh.search.searcher import Look
from boundmesh.settings import BranchSettings

# The time in seconds that refinements plan with where the deadline is further away.
LONGEST_REFINEMENT = 240
# The most domains that the rows of one start node are split into.
MOST_PARTS = 2**18
# The first attempt may bound at least so many domains.
LEAST_PATIENCE = 2048
# The domains of an attempt are looked at once so many are bounded: where no split has gained
# anything by then, the bounds are sharpened at once.
FIRST_LOOK = 256
# A limit at which a search ends when its roots are bounded.
ROOTS_ALONE = 0
# A search begins anew where refined bounds win this share of what the root's margin lacks. A tree
# that is 20 deep is then an eighth smaller.
NEARER = 0.01
# Where boxes and values are cut in turns, the first turn halves so many boxes, and a turn cuts at
# least so many domains.
FIRST_TURN, LEAST_TURN = 2048, 64


@dataclass(frozen=True)
class RegionSearch:
    """The search of one region for its open clauses.

    standing  the question, and how far its proof is
    domain    the number of the region in the question, from 0
    problem   the network, the region and the layout
    known     the bounds of the start nodes to begin with
    settings  the options of branch and bound
    clock     measures the stages, and raises OutOfTime at the deadline
    look      replays points
    meetings  the meetings with the other groups

    All groups run the search in step. So each decision depends on the joint account and on values
    exchanged in meetings alone, never on the state of one group.
    """

    standing: Standing
    domain: int
    problem: Problem
    known: dict[str, Interval]
    settings: BranchSettings
    clock: Clock
    look: Look
    meetings: Meetings

    @property
    def clauses(self) -> Tensor:
        """The open clauses; those without choices first, before any other is searched."""
        still = self.standing.open[self.domain]
        plain = still & ~self.standing.question.margins.factored
        return (plain if plain.any() else still).nonzero().flatten()

    def run(self) -> SearchAccount:
        """Search the region; return the joint account of all groups. Raises OutOfTime."""
        is_box = isinstance(self.problem.region, BoxRegion)
        if is_box and by_input(self.settings, self.problem, self.known):
            many = free_inputs(self.problem.region) > FEW_INPUTS
            if self.settings.branching == "auto" and many and self.problem.program.nonlinear:
                return self._in_turns()
            return self.halve()
        search = self._split_neurons()
        # Smaller boxes may decide domains that have no neuron left to split.
        return self.halve() if is_box and search.stuck and not search.found else search

    def halve(self, limit: float = float("inf")) -> SearchAccount:
        """Halve boxes until every clause is refuted on each, or `limit` of them are bounded."""
        region, splitting = self.problem.region, self._halving()
        assert isinstance(region, BoxRegion)
        self.standing.searches.append(splitting.shared.whole)
        with self.clock.stage("branch"):
            return splitting.run(region, limit)

    def _in_turns(self) -> SearchAccount:
        """Halve boxes and cut values in turns of equal time, until either search ends.

        Which of the two is better for a smooth network depends on how many inputs matter. Boxes
        come first. They keep the turn for as long as they have won half of the margin that was
        missing, since as many halvings again then suffice.
        """
        region, halving = self.problem.region, self._halving()
        assert isinstance(region, BoxRegion)
        best = self.standing.clauses[self.domain, self.clauses]
        with self.clock.stage("branch"):
            begun = self.clock.spent
            self._now(halving.shared.whole)
            boxes = halving.run(region, FIRST_TURN)
            if _ended(boxes) or boxes.worst > float(best.min()) / 2:
                return halving.go_on()
            seconds = max(self.meetings.exchange(self.clock.spent - begun))
            cutting = self._splitting(self.known)
            self._now(cutting.shared.whole)
            domains = cutting.run(self.clauses, best, LEAST_TURN)
            while not _ended(domains):
                begun = self.clock.spent
                while not _ended(domains) and self._within(begun, seconds):
                    domains = cutting.go_on(domains.visited + LEAST_TURN)
                if _ended(domains):
                    break
                self._now(halving.shared.whole)
                boxes = halving.go_on(2 * boxes.visited)
                if _ended(boxes):
                    return boxes
                seconds *= 2
                self._now(cutting.shared.whole)
            if not domains.stuck or domains.found:
                return domains
            # Smaller boxes may decide domains that have no value left to cut.
            self._now(halving.shared.whole)
            return halving.go_on()

    def _now(self, search: SearchAccount) -> None:
        """Enter that a search goes on: it becomes the last of the question's searches."""
        searches = self.standing.searches
        searches[:] = [*(account for account in searches if account is not search), search]

    def _within(self, begun: float, seconds: float) -> bool:
        """Return True if a turn that began at `begun` may go on, by the clocks of all groups."""
        return all(self.meetings.exchange(self.clock.spent - begun < seconds))

    def _halving(self) -> InputSplitting:
        question = self.standing.question
        return InputSplitting(
            self.problem,
            question.margins.only(self.clauses),
            question.offset,
            self.settings,
            self.clock,
            self.look,
            self.meetings,
        )

    def _split_neurons(self) -> SearchAccount:
        """Split neurons. An attempt that takes long ends, and the bounds are sharpened.

        Each refinement splits deeper than the one before, and into four times as many domains. The
        search begins anew where sharper bounds bring the root nearer to a proof. Otherwise it goes
        on with the domains that it has, and nothing is refined again. The number of domains is
        then unlimited, as it is in the last attempt.
        """
        bounds, best = self.known, self.standing.clauses[self.domain, self.clauses]
        splitting = self._splitting(bounds)
        self._now(splitting.shared.whole)
        with self.clock.stage("branch"):
            root = splitting.run(self.clauses, best, ROOTS_ALONE).worst
        for attempt in range(self.settings.refinements):
            patience = max(LEAST_PATIENCE, 2 * splitting.batch) * 2 ** max(0, attempt - 1)
            with self.clock.stage("branch"):
                search = splitting.go_on(min(FIRST_LOOK, patience))
                if not _idle(search, root):
                    search = splitting.go_on(patience)
            if _ended(search):
                return search
            with self.clock.stage("refine"):
                bounds, known = self._refined(bounds, splitting, attempt), bounds
            if not _sharper(bounds, known):
                break
            again = self._splitting(bounds)
            with self.clock.stage("branch"):
                worst = again.run(self.clauses, best, ROOTS_ALONE).worst
            if not (_ended(again.shared.whole) or _nearer(worst, root)):
                break
            splitting, root = again, worst
            self._now(splitting.shared.whole)
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


def _ended(search: SearchAccount) -> bool:
    """Return True if a search that has begun has nothing left to do, or found a counterexample."""
    return bool(search.found) or (search.visited > 0 and not search.open)


def _idle(search: SearchAccount, root: float) -> bool:
    """Return True if splits have closed no domain, and the worst one is as bad as the root was."""
    return search.proved == float("inf") and not search.worst > root


def _nearer(margin: float, root: float) -> bool:
    """Return True if the margin of a root lacks noticeably less than that of an earlier root."""
    return margin > root * (1 - NEARER)


def _sharper(bounds: dict[str, Interval], known: dict[str, Interval]) -> bool:
    """Return True if any bound of `bounds` lies inside that of `known`."""
    return any(
        bool((bounds[name].lower > box.lower).any() or (bounds[name].upper < box.upper).any())
        for name, box in known.items()
    )


def by_input(settings: BranchSettings, problem: Problem, bounds: dict[str, Interval]) -> bool:
    """Return True if the input is split rather than neurons.

    With `auto` this is so for few free inputs, and where no unstable neuron has a split point.
    """
    splittable = bool((~neurons_of(problem.program, bounds).split_points.isnan()).any())
    if settings.branching != "auto":
        return settings.branching == "input" or not splittable
    return not splittable or free_inputs(problem.region) <= FEW_INPUTS
