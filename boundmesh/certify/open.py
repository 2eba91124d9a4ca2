"""Loads the network of a run onto its device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from boundmesh.attack.replay import Replay
from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.certify.inputs import Inputs
from boundmesh.certify.run import Run
from boundmesh.graph.graph import Graph
from boundmesh.mesh.runtime.open import layout_for
from boundmesh.operators.rounding import Rounding
from boundmesh.proof.guarantee import rounding_for
from boundmesh.proof.real import RealOutputs
from boundmesh.runtime.clock import Clock
from boundmesh.settings import Settings, rounding_words


@dataclass(frozen=True)
class Opened:
    """A run before its labels and scores are known; the fields are those of `Run`."""

    graph: Graph
    inputs: Inputs
    layout: DeviceLayout
    rounding: Rounding | None
    settings: Settings
    clock: Clock

    def about(self, labels: np.ndarray, scores: np.ndarray) -> Run:
        """Return the run for labels `[N]` and the network's scores `[N, classes]`."""
        real = set(rounding_words(self.settings.rounding)) == {"real"}
        replay = Replay(self.graph, RealOutputs(self.graph).confirms if real else None)
        facts = self.layout, self.rounding, replay, self.settings, self.clock
        return Run(self.graph, self.inputs, labels, scores, *facts)


def open_run(graph: Graph, inputs: Inputs, settings: Settings, clock: Clock) -> Opened:
    """Load the network onto the device that the settings name; raise DeviceError without one."""
    layout = layout_for(graph, settings)
    rounding = rounding_for(graph, settings, layout)
    return Opened(graph, inputs, layout, rounding, settings, clock)
