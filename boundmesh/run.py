"""The record of one run of `verify`: network, property, devices, settings, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from boundmesh.attack.pgd import Attack
from boundmesh.attack.replay import Replay, representable
from boundmesh.bounds.sweep.layout import DeviceLayout, OneDevice
from boundmesh.graph.graph import Graph
from boundmesh.proof.guarantee import needs_real, rounding_for
from boundmesh.proof.question import Question, questions
from boundmesh.proof.real import RealOutputs
from boundmesh.proof.standing import Standing
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
    as_read    the network as it was read, before it is rewritten for bounds
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
        """Return the questions in the arithmetic `dtype`: that of the layout, or float64."""
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

    def attack(self, left: Mapping[int, Sequence[int]] | None = None) -> Attack:
        """Return an attack that has not begun.

        `left` maps each case to the clauses to search. None stands for all clauses of all cases,
        which are searched by fewer descents.
        """
        return Attack(
            self.graph,
            self.layout.weights,
            self.property,
            self.settings.attack,
            self.clock,
            self.settings.seed,
            left,
            self.replay,
            self.layout.recordable,
        )

    def go_on(self, attack: Attack) -> Counterexample | None:
        """Run the next part of an attack; return the counterexample, or None."""
        if not self.settings.attack.restarts:
            attack.over = True
            return None
        with self.clock.stage("attack"), self.layout.without_fetched_weights():
            return self.clock.agree(attack.go_on())

    def hunt(self, left: Mapping[int, Sequence[int]] | None = None) -> Counterexample | None:
        """Run a whole attack; return the counterexample, or None."""
        attack, found = self.attack(left), None
        while found is None and not attack.over:
            found = self.go_on(attack)
        return found
