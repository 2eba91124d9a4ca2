"""The record of one run of `verify`: network, property, devices, settings, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from boundmesh.attack.pgd import attack
from boundmesh.attack.replay import Replay, representable
from boundmesh.bounds.sweep.layout import DeviceLayout, OneDevice
from boundmesh.graph.graph import Graph
from boundmesh.proof.guarantee import needs_real, rounding_for
from boundmesh.proof.question import Question, questions
from boundmesh.proof.real import RealOutputs
from boundmesh.proof.standing import Standing, open_clauses
from boundmesh.property import Property
from boundmesh.runtime.clock import Clock
from boundmesh.search.parallel.groups import Groups
from boundmesh.settings import Settings
from boundmesh.verdict import Counterexample


@dataclass(frozen=True)
class Run:
    """The network, property, devices and settings of one run, and how far the run is.

    graph      the network
    property   the property
    layout     the device or devices that hold the weights, and the dtype of the bounds
    groups     the groups of ranks that search together; one group where there is no mesh
    settings   the user's choices
    clock      measures the stages, and raises OutOfTime at the deadline
    standings  one for each question, added once bounds begin
    """

    graph: Graph
    property: Property
    layout: DeviceLayout
    groups: Groups
    settings: Settings
    clock: Clock
    as_read: Graph
    standings: list[Standing] = field(default_factory=list)

    @cached_property
    def questions(self) -> list[Question]:
        return self._questions_on(self.layout)

    @cached_property
    def questions_in_float64(self) -> list[Question]:
        """The same questions in float64, for a layout of one device."""
        device = self.layout.device
        return self._questions_on(OneDevice(self.graph.bounded, device, torch.float64))

    def _questions_on(self, layout: DeviceLayout) -> list[Question]:
        rounding = rounding_for(self.graph, self.settings, layout, self.property)
        return questions(self.graph, self.property, layout, rounding)

    def questions_in(self, dtype: torch.dtype) -> list[Question]:
        """The questions in the arithmetic `dtype`: that of the layout, or float64."""
        return self.questions if dtype == self.layout.dtype else self.questions_in_float64

    @cached_property
    def replay(self) -> Replay:
        real = needs_real(self.settings, self.property)
        return Replay(self.graph, RealOutputs(self.graph).confirms if real else None)

    def look(self, case: int, points: Tensor) -> Counterexample | None:
        """Replay inputs `[K, *input_shape]`; return the first that is a counterexample of `case`.

        Returns None where there is none.
        """
        region = self.property.cases[case].region
        for point in points.double().cpu().numpy():
            near = representable(region, point, self.graph.inputs)
            seen = self.clock.agree(self.replay(self.property, case, near))
            if seen is not None:
                return seen
        return None

    def hunt(self, left: Mapping[int, Sequence[int]] | None = None) -> Counterexample | None:
        """Search a counterexample by gradient descent; return it, or None.

        `left` maps each case to the clauses to search. None stands for all clauses of all cases.
        """
        chosen, weights = self.settings.attack, self.layout.weights
        if not chosen.restarts:
            return None
        with self.clock.stage("attack"), self.layout.thrifty():
            seed = self.settings.seed
            seen = attack(
                self.graph,
                weights,
                self.property,
                chosen,
                self.clock,
                seed,
                left,
                self.replay,
                self.layout.recordable,
            )
            return self.clock.agree(seen)


LEAST_SHARE = 1 / 8
"""A search that may cost more than this share of the time left is not tried before an attack."""


@dataclass
class Lookout:
    """Replays the points of a search, and attacks once the search has taken its trial time.

    After bounds a wide attack comes next. A search that bounds have prepared well decides the
    property in less time, so it is tried first, for half as long as the run has taken so far. If it
    takes longer, it is interrupted once by the attack.

    run       the run
    until     the time on the run's clock at which the attack begins
    attacked  true once the attack has begun
    """

    run: Run
    until: float
    attacked: bool = False

    @staticmethod
    def after_bounds(run: Run, begun: float) -> Lookout:
        """Start the trial time of a search now; attack and bounds began at `begun`.

        There is none where several groups search, or where the time left is short.
        """
        now, left = run.clock.spent, run.clock.left
        trial = (now - begun) / 2
        alone = run.groups.size == 1
        return Lookout(run, now + trial if alone and trial <= LEAST_SHARE * left else now)

    def __call__(self, case: int, points: Tensor) -> Counterexample | None:
        """Replay points as `Run.look` does; attack where it is time."""
        seen = self.run.look(case, points)
        return seen if seen is not None else self.attack_in_time()

    def attack_in_time(self) -> Counterexample | None:
        """Attack the open clauses if that is not done yet and the trial time is over."""
        if self.attacked or self.run.clock.spent < self.until:
            return None
        return self.attack()

    def attack(self) -> Counterexample | None:
        """Attack the open clauses, unless that is done already."""
        left = open_clauses(self.run.standings)
        if self.attacked or not left:
            return None
        self.attacked = True
        return self.run.hunt(left)
