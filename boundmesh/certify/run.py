"""Defines the record of a run of `certify`: network, inputs, devices and settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from boundmesh.attack.replay import Replay, representable
from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.bounds.sweep.program import Program
from boundmesh.certify.inputs import Inputs
from boundmesh.graph.forward import forward
from boundmesh.graph.graph import Graph
from boundmesh.operators.rounding import Rounding
from boundmesh.proof.margins import ROUNDINGS
from boundmesh.property import Ball, Box, Case, Clause, Property
from boundmesh.runtime.clock import Clock
from boundmesh.runtime.device import dtype_of
from boundmesh.search.parallel.groups import Groups
from boundmesh.settings import Settings
from boundmesh.verdict import Counterexample

Radius = float | Fraction

# The most numbers in one value of the network, of all inputs that are bounded together.
ELEMENTS = {"cpu": 2**20, "cuda": 2**25}
# The most inputs that are bounded together.
MOST_TOGETHER = 256


@dataclass(frozen=True)
class CertifyRun:
    """The network, inputs, devices and settings of a run.

    graph     the network
    inputs    the N inputs
    labels    `[N]`, the class that each input must keep
    scores    `[N, classes]`, the network's scores of the inputs, float64
    layout    the device or devices that hold the weights, and the dtype of the bounds
    groups    the one group of ranks that works on this run in step, or of one process
    rounding  the roundings that bounds outweigh (None: arithmetic is trusted)
    replay    replays points in ONNX Runtime
    settings  the user's choices
    clock     measures the stages, and raises OutOfTime at the deadline
    """

    graph: Graph
    inputs: Inputs
    labels: np.ndarray
    scores: np.ndarray
    layout: DeviceLayout
    groups: Groups
    rounding: Rounding | None
    replay: Replay
    settings: Settings
    clock: Clock
    _clauses: dict[int, tuple[Clause, ...]] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        return int(self.scores.shape[1])

    @cached_property
    def program(self) -> Program:
        return Program(self.graph, self.graph.output)

    @cached_property
    def slack(self) -> np.ndarray:
        """Compute the number that each margin must exceed, `[N, classes]`.

        Where rounding is bounded it is zero. Where arithmetic is trusted it is `ROUNDINGS`
        roundings of the two scores.
        """
        if self.rounding is not None:
            return np.zeros_like(self.scores)
        own_scores = np.abs(self.scores[np.arange(len(self.labels)), self.labels])
        # The network itself may run in this precision, whatever bounds are computed in.
        epsilon = torch.finfo(dtype_of(self.settings)).eps
        scale: np.ndarray = np.abs(self.scores) + own_scores[:, None]
        return ROUNDINGS * epsilon * scale

    @property
    def together(self) -> int:
        """How many inputs are bounded at a time."""
        elements = ELEMENTS[self.layout.device.type] // self.program.widest(self.program.target)
        return max(1, min(MOST_TOGETHER, elements))

    def property(self, index: int, region: Box | Ball) -> Property:
        """Make the property that the label of an input has the largest score in `region`."""
        label = int(self.labels[index])
        if label not in self._clauses:
            (case,) = Property.largest(region, label, self.classes).cases
            self._clauses[label] = case.clauses
        case = Case(region, self._clauses[label])
        return Property((case,), region.size, self.classes)

    def others(self, index: int) -> Tensor:
        """Return the classes that an input must not get, in the order of its property's clauses."""
        return other_classes(int(self.labels[index]), self.classes)

    def confirmed(
        self, index: int, region: Box | Ball, points: Sequence[np.ndarray]
    ) -> Counterexample | None:
        """Replay flat points; return the first that is a counterexample in `region`, or None."""
        prop = self.property(index, region)
        for point in points:
            near = representable(region, point, self.graph.inputs)
            if (found := self.clock.agree(self.replay(prop, 0, near))) is not None:
                return found
        return None

    def batches(self, indices: Sequence[int], most: int | None = None) -> Iterator[list[int]]:
        """Divide inputs into batches to be bounded together; those of one label meet.

        Inputs of one label have similar unstable neurons, and a neuron that is unstable for one
        input of a batch gets rows for all of them.
        """
        order = sorted(indices, key=lambda index: (self.labels[index], index))
        most = self.together if most is None else most
        for first in range(0, len(order), most):
            yield order[first : first + most]


@cache
def other_classes(label: int, classes: int) -> Tensor:
    """Return all classes but `label`, in order."""
    return torch.tensor([number for number in range(classes) if number != label], dtype=torch.long)


@torch.no_grad()
def scores_of(graph: Graph, layout: DeviceLayout, inputs: Inputs, most: int = 256) -> np.ndarray:
    """Compute the network's scores of all inputs, float64 `[N, classes]`."""
    held = max(node.size for node in graph.nodes)
    most = max(1, min(most, 2**24 // held))
    batches = []
    for part in np.array_split(inputs.points, -(-len(inputs) // most)):
        x = torch.from_numpy(part).to(layout.device, layout.dtype)
        batches.append(forward(graph, layout.weights, x.reshape(-1, *graph[graph.input].shape)))
    return torch.cat(batches).flatten(1).double().cpu().numpy()
