"""Attacks a property while bounds and a search work on its proof, each part in its time.

An attack may take far longer than a proof. So only its short descents come first. Each further part
waits until bounds and search have had a trial time, and then interrupts them once.
"""

from __future__ import annotations

from torch import Tensor

from boundmesh.attack.effort import light_plan
from boundmesh.proof.standing import open_clauses
from boundmesh.run import Run
from boundmesh.verdict import Counterexample

LEAST_SHARE = 1 / 8
"""A trial that may take more than this share of the time left is left out."""
TRIAL = 1 / 2
"""A trial takes this share of the time that the light attack is expected to take, or, before the
wide attack, of the time that the run has taken so far."""


class Lookout:
    """The attacks of a run: the light one in two parts, then the wide one.

    The wide attack searches what bounds left open by far more descents than the light one.

    run    the run
    found  the counterexample, once there is one
    plan   the light attack
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.found: Counterexample | None = None
        self._light, self._wide_begun = run.attack(), False
        self._begun = self._until = run.clock.spent
        self.plan = light_plan(run.graph, run.property, run.settings.attack)

    def first(self) -> bool:
        """Run the short descents; return True if a counterexample was found.

        The rest of the light attack is expected to take as much longer as its descents have more
        steps: a step takes about equally long however many points descend together.
        """
        self._enter(self.run.go_on(self._light))
        self._wait((self.run.clock.spent - self._begun) * self.plan.longer)
        return self.found is not None

    def finish_light(self) -> bool:
        """Run the light attack to its end; return True if a counterexample was found."""
        while self.found is None and not self._light.over:
            self._enter(self.run.go_on(self._light))
            self._wait(self.run.clock.spent - self._begun)
        return self.found is not None

    def light_in_time(self) -> bool:
        """Finish the light attack if its trial time is over; return True if it has succeeded."""
        if self.found is None and not self._light.over and self.run.clock.spent >= self._until:
            self.finish_light()
        return self.found is not None

    def in_time(self) -> bool:
        """Run the next part if its trial time is over; return True if one has succeeded."""
        if self.light_in_time() or self._wide_begun or self.run.clock.spent < self._until:
            return self.found is not None
        return self.finish()

    def finish(self) -> bool:
        """Run what is left of all attacks; return True if a counterexample was found."""
        if self.finish_light() or self._wide_begun:
            return self.found is not None
        left = open_clauses(self.run.standings)
        if left:
            self._wide_begun = True
            self._enter(self.run.hunt(left))
        return self.found is not None

    def __call__(self, case: int, points: Tensor) -> Counterexample | None:
        """Replay points of a search as `Run.look` does, and attack if it is time."""
        seen = self.run.look(case, points)
        if seen is None and self.in_time():
            seen = self.found
        return seen

    def _enter(self, found: Counterexample | None) -> None:
        self.found = self.found or found

    def _wait(self, seconds: float) -> None:
        """Start a trial of a share of `seconds`; none if several groups search or time is short."""
        now, left = self.run.clock.spent, self.run.clock.left
        trial = TRIAL * seconds
        alone = self.run.groups.size == 1 and trial <= LEAST_SHARE * left
        self._until = now + trial if alone else now
