"""Loads the network of a run onto its device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from boundmesh.attack.replay import Replay
from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.certify.inputs import Inputs
from boundmesh.certify.run import CertifyRun
from boundmesh.graph.graph import Graph
from boundmesh.mesh.runtime.open import groups_for, layout_for
from boundmesh.operators.rounding import Rounding
from boundmesh.proof.guarantee import for_bounds, rounding_for
from boundmesh.proof.real import RealOutputs
from boundmesh.runtime.clock import Clock
from boundmesh.search.parallel.groups import ONE_GROUP, Groups
from boundmesh.settings import Settings, rounding_words


@dataclass(frozen=True)
class Opened:
    """A run before its labels and scores are known; the fields are those of `CertifyRun`."""

    graph: Graph
    inputs: Inputs
    layout: DeviceLayout
    groups: Groups
    rounding: Rounding | None
    settings: Settings
    clock: Clock

    def about(self, labels: np.ndarray, scores: np.ndarray) -> CertifyRun:
        """Return the run for labels `[N]` and the network's scores `[N, classes]`."""
        real = set(rounding_words(self.settings.rounding)) == {"real"}
        replay = Replay(self.graph, RealOutputs(self.graph).confirms if real else None)
        facts = self.rounding, replay, self.settings, self.clock
        return CertifyRun(self.graph, self.inputs, labels, scores, self.layout, self.groups, *facts)


def open_run(graph: Graph, inputs: Inputs, settings: Settings, clock: Clock) -> Opened:
    """Load the network onto the devices that the settings name; raise DeviceError without one.

    The ranks of a mesh join here.
    """
    graph = for_bounds(graph, settings)
    layout = layout_for(graph, settings)
    rounding = rounding_for(graph, settings, layout)
    groups = groups_for(settings) or ONE_GROUP
    return Opened(graph, inputs, layout, groups, rounding, settings, clock)
