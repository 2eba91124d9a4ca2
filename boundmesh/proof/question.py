"""A question: are these clauses refuted on these regions? A property is turned into questions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region, region_tensors
from boundmesh.graph.forward import forward
from boundmesh.graph.graph import Graph
from boundmesh.operators.rounding import Rounding
from boundmesh.proof.margin_rows import margins_of
from boundmesh.proof.margins import Margins
from boundmesh.property import Ball, Case, Property
from boundmesh.runtime.clock import Clock
from boundmesh.settings import BoundSettings

TOGETHER = 256
"""The largest number of regions in one batch."""


@dataclass(frozen=True)
class Question:
    """The question whether all clauses of `margins` are refuted on each of D regions.

    margins   the clauses as S rows of the output
    region    the D regions
    cases     the number of each region's case in the property, from 0
    slack     `[S]`: each margin must exceed it
    layout    the device or devices that hold the weights
    rounding  the roundings that bounds outweigh; None where arithmetic is trusted
    """

    margins: Margins
    region: Region
    cases: tuple[int, ...]
    slack: Tensor
    layout: DeviceLayout
    rounding: Rounding | None = None

    def problem(self, region: Region, settings: BoundSettings, clock: Clock) -> Problem:
        program = Program(self.margins.graph, self.margins.graph.output)
        tile_elements, check = settings.tile_elements, clock.check
        return Problem(program, region, self.layout, tile_elements, check, self.rounding)

    @property
    def offset(self) -> Tensor:
        """The number that the lower bound of each row must exceed, float64 `[S]`."""
        return self.margins.bound + self.slack

    def beyond(self, lower: Tensor, rows: Tensor) -> Tensor:
        """Turn lower bounds of `rows` into margins minus slack, float64 `[D, len(rows)]`."""
        return lower.double().cpu() - self.offset[rows]


def questions(
    graph: Graph, property: Property, layout: DeviceLayout, rounding: Rounding | None = None
) -> list[Question]:
    """Group the property's cases into batches of regions that share clauses.

    Cases with an empty region are left out. Without `rounding` a margin must exceed the usual
    rounding error of outputs as large as those at the regions' centres.
    """
    shape = graph[graph.input].shape
    batches: dict[object, list[tuple[int, Case]]] = {}
    for case_index, case in enumerate(property.cases):
        if case.region.empty:
            continue
        kind = case.region.p if isinstance(case.region, Ball) else None
        batches.setdefault((case.clauses, kind), []).append((case_index, case))
    batched = []
    for members in batches.values():
        margins = margins_of(graph, members[0][1].clauses)
        for first in range(0, len(members), TOGETHER):
            case_indices, cases = zip(*members[first : first + TOGETHER], strict=True)
            region = region_tensors(
                [case.region for case in cases], shape, layout.dtype, layout.device
            )
            slack = torch.zeros_like(margins.bound)
            if rounding is None:
                slack = margins.slack(_outputs(margins.graph, region, layout), layout.dtype)
            batched.append(Question(margins, region, case_indices, slack, layout, rounding))
    return batched


@torch.no_grad()
def _outputs(graph: Graph, region: Region, layout: DeviceLayout) -> Tensor:
    """Return the largest absolute outputs at the centres of all regions, `[*output_shape]`."""
    box = region.interval
    return forward(graph, layout.weights, (box.lower + box.upper) / 2).abs().amax(0)


def free_inputs(region: Region) -> int:
    """Return how many inputs can vary, the most of any domain.

    An input whose ends are neighbouring floats does not count: such a range encloses a single
    number, such as a decimal, that no float holds.
    """
    box = region.interval
    next_up = torch.nextafter(box.lower, torch.full_like(box.lower, torch.inf))
    return int((next_up < box.upper).flatten(1).sum(1).max())
