"""The result of `verify`: a verdict, and the effort that it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from boundmesh.graph.graph import Graph
from boundmesh.proof.standing import Reached
from boundmesh.property import Property
from boundmesh.runtime.history import History
from boundmesh.settings import Settings
from boundmesh.verdict import Falsified, Verdict, Verified


@dataclass(frozen=True)
class Result:
    """A verdict, and the effort that it took.

    verdict     Verified, Falsified, Unknown or TimedOut
    seconds     the seconds of each stage, by its name
    peak_bytes  the peak of memory on the device, in bytes
    unstable    for every start node, how many neurons are unstable after the last bounds, and how
                many it has
    property    the property as it was read
    graph       the network as it was read
    margins     `[cases, clauses]`, float64: a lower bound of how far each clause of each case is
                from holding; one above 0 refutes it. −∞ where no bound was computed, ∞ where there
                is no such clause, or no input in the case's region
    reached     the margins and unstable neurons after each bound method and after the search
    history     what happened and when: stages, facts, memory, warnings
    settings    the settings of the run
    device      the name of the device
    """

    verdict: Verdict
    seconds: Mapping[str, float]
    peak_bytes: int
    unstable: Mapping[str, tuple[int, int]]
    property: Property
    graph: Graph
    margins: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    reached: tuple[Reached, ...] = ()
    history: History = field(default_factory=History)
    settings: Settings = Settings()
    device: str = ""

    @cached_property
    def proved(self) -> bool:
        """True if no counterexample exists."""
        return isinstance(self.verdict, Verified)

    @cached_property
    def counterexample(self) -> np.ndarray | None:
        """The input that breaks the property, float64, in the shape of the network's input.

        It is flat for a network with several inputs, and None where there is no counterexample.
        """
        if not isinstance(self.verdict, Falsified):
            return None
        point = self.verdict.counterexample.input
        ports = self.graph.inputs
        return point.reshape(ports[0].shape) if len(ports) == 1 else point

    def __repr__(self) -> str:
        total = sum(self.seconds.values())
        return f"Result({self.verdict.word}: {self.verdict}; {total:.3g} s)"

    def report(self, path: str | Path) -> None:
        """Write a page for people to an HTML file, as `boundmesh.report(result, path)` does."""
        # The room that writes pages imports this one.
        import boundmesh

        boundmesh.report(self, path)

    @cached_property
    def undecided(self) -> Mapping[str, tuple[int, int]]:
        """The name that `unstable` had before version 0.2."""
        return self.unstable
