"""Turns a property into questions: batches of regions with the same clauses, bounded together."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.bounds.sweep.region import Region, region_tensors
from boundmesh.graph.forward import forward
from boundmesh.graph.graph import Graph
from boundmesh.operators.rounding import Rounding
from boundmesh.proof.ladder import Question, Standing
from boundmesh.proof.margins import margins_of
from boundmesh.property import Ball, Case, Property

TOGETHER = 256
"""The largest number of regions in one batch."""


def questions(
    graph: Graph, property: Property, layout: DeviceLayout, rounding: Rounding | None = None
) -> list[Question]:
    """Group the property's cases into batches of regions that share clauses.

    Cases with an empty region are left out. Without `rounding` a margin must exceed the usual
    rounding error of outputs as large as those at the regions' centres.
    """
    shape = graph[graph.input].shape
    batches: dict[object, list[tuple[int, Case]]] = {}
    for place, case in enumerate(property.cases):
        if case.region.empty:
            continue
        kind = case.region.p if isinstance(case.region, Ball) else None
        batches.setdefault((case.clauses, kind), []).append((place, case))
    found = []
    for members in batches.values():
        margins = margins_of(graph, members[0][1].clauses)
        for first in range(0, len(members), TOGETHER):
            places, cases = zip(*members[first : first + TOGETHER], strict=True)
            region = region_tensors(
                [case.region for case in cases], shape, layout.dtype, layout.device
            )
            slack = torch.zeros_like(margins.bound)
            if rounding is None:
                slack = margins.slack(_outputs(margins.graph, region, layout), layout.dtype)
            found.append(Question(margins, region, places, slack, layout, rounding))
    return found


@torch.no_grad()
def _outputs(graph: Graph, region: Region, layout: DeviceLayout) -> Tensor:
    """Return the largest absolute outputs at the centres of all regions, `[*output_shape]`."""
    box = region.interval
    return forward(graph, layout.weights, (box.lower + box.upper) / 2).abs().amax(0)


def open_clauses(standings: list[Standing]) -> dict[int, list[int]]:
    """Return the open clauses of each case that has some."""
    return {
        case: clauses.nonzero().flatten().tolist()
        for standing in standings
        for case, clauses in zip(standing.question.cases, standing.open, strict=True)
        if clauses.any()
    }


def worst_margin(standings: list[Standing]) -> float:
    """Return the worst margin: of the open domains of a search, else of the bounds alone."""
    return min((standing.reached for standing in standings), default=float("-inf"))


def what_remains(standings: list[Standing]) -> str:
    """Explain in words why a property is not decided."""
    if not standings:
        return "no bound was computed"
    still = sum(int(standing.open.sum()) for standing in standings)
    every = sum(standing.open.numel() for standing in standings)
    words = f"{still} of {every} clauses are not refuted"
    worst = worst_margin(standings)
    if worst == float("-inf"):
        words += ", and the worst has no finite bound"
    else:
        words += f"; the worst margin is {worst:.6g}, not > 0"
    searches = [search for standing in standings for search in standing.searches]
    if searches:
        last = searches[-1]
        visited = sum(search.visited for search in searches)
        words += f"; branch and bound visited {visited} domains, {last.open} are open"
        if stuck := sum(search.stuck for search in searches):
            words += f", {stuck} have nothing left to split"
    return words
