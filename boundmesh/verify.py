"""The story: read, attack, bound, branch; and bounds alone for those who want the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from boundmesh.attack.pgd import attack
from boundmesh.attack.replay import Replay, representable
from boundmesh.bab.decide import Look, assist, branch
from boundmesh.bab.groups import ONE_GROUP, Groups, Stop
from boundmesh.bounds.layout import Layout
from boundmesh.bounds.margins import margins_of
from boundmesh.bounds.program import Program
from boundmesh.bounds.region import region_tensors
from boundmesh.clock import Clock, OutOfTime
from boundmesh.device import forget_peak, peak_bytes, pin_threads
from boundmesh.errors import BoundmeshError, ReadError
from boundmesh.graph.check import agrees_with_source
from boundmesh.graph.forward import forward, multiplications
from boundmesh.graph.graph import Graph
from boundmesh.ladder import Question, Standing, climb, undecided_counts
from boundmesh.memory import memory_errors
from boundmesh.mesh.open import groups_for, layout_for
from boundmesh.property import Ball, Box, Case, Property
from boundmesh.read import onnx, vnnlib
from boundmesh.report.progress import SILENT, Progress
from boundmesh.settings import Settings
from boundmesh.verdict import Counterexample, Falsified, TimedOut, Unknown, Verdict, Verified

if TYPE_CHECKING:
    from torch import nn

    Model = Graph | str | Path | nn.Module

TOGETHER = 256
"""Regions of cases with the same clauses that are bounded in one batch."""


@dataclass(frozen=True)
class Result:
    """A verdict and what it took: seconds per stage, peak memory in bytes, and for every start
    node (undecided, all) neurons after the last bounds."""

    verdict: Verdict
    seconds: Mapping[str, float]
    peak_bytes: int
    undecided: Mapping[str, tuple[int, int]]
    property: Property
    graph: Graph


def verify(
    model: Model,
    property: Property | str | Path,
    *,
    settings: Settings = Settings(),
    progress: Progress = SILENT,
) -> Result:
    """Decide a property of a network: Verified, Falsified, Unknown or TimedOut.

    `model` is an ONNX file, a Graph or an nn.Module; `property` a VNN-LIB file or a Property.
    Raises BoundmeshError for everything that bad input can cause, before any verdict.
    """
    clock = Clock(settings.timeout, progress)
    torch.manual_seed(settings.seed)
    with clock.stage("read"):
        graph, wanted = read(model, property)
    pin_threads(settings, multiplications(graph))
    for warning in wanted.warnings:
        progress.warn(warning)
    layout, groups = layout_for(graph, settings), groups_for(settings) or ONE_GROUP
    device, clock.agree = layout.device, groups.agree
    forget_peak(device)
    standings: list[Standing] = []
    with memory_errors(graph, device, settings):
        take_part = _lead if groups.rank == 0 else _assist
        verdict = take_part(graph, wanted, layout, groups, standings, settings, clock)
    undecided: dict[str, tuple[int, int]] = {}
    for standing in standings:
        graph_of = standing.question.margins.graph
        undecided |= undecided_counts(standing.bounds, Program(graph_of, graph_of.output))
    return Result(verdict, clock.seconds, peak_bytes(device), undecided, wanted, graph)


def read(model: Model, property: Property | str | Path) -> tuple[Graph, Property]:
    """The network and the property, whatever form they come in; they must fit each other."""
    example = None
    if isinstance(property, Property) and property.cases:
        region = property.cases[0].region
        example = region.lower if isinstance(region, Box) else region.center
    graph = load(model, example)
    if not isinstance(property, Property):
        property = vnnlib.load(property, graph.inputs, graph.outputs)
    sizes = sum(p.size for p in graph.inputs), sum(p.size for p in graph.outputs)
    if (property.inputs, property.outputs) != sizes:
        raise BoundmeshError(
            f"the property speaks of {property.inputs} inputs and {property.outputs} outputs; "
            f"the network has {sizes[0]} and {sizes[1]}"
        )
    return graph, property


def load(model: Model, example: np.ndarray | None = None) -> Graph:
    """A Graph from an ONNX file (`.onnx`, `.onnx.gz`) or, with an example input, an nn.Module."""
    if isinstance(model, Graph):
        return model
    if isinstance(model, str | Path):
        return onnx.load(model)
    from boundmesh.read.torch_module import from_torch

    if example is None:
        raise ReadError(
            "an nn.Module needs an example input: boundmesh.from_torch(module, example)"
        )
    return from_torch(model, torch.as_tensor(example, dtype=torch.float32))


def _lead(
    graph: Graph,
    property: Property,
    layout: Layout,
    groups: Groups,
    standings: list[Standing],
    settings: Settings,
    clock: Clock,
) -> Verdict:
    """The first group's part: the story, in which the others take part, and its end, for all."""
    try:
        with clock.stage("check"):
            _check(graph, property)
        verdict = _decide(graph, property, layout, groups, standings, settings, clock)
    except BaseException as error:
        groups.first_says(Stop.of(error))
        raise
    groups.first_says(verdict)
    return verdict


def _assist(
    graph: Graph,
    property: Property,
    layout: Layout,
    groups: Groups,
    standings: list[Standing],
    settings: Settings,
    clock: Clock,
) -> Verdict:
    """The part of any other group: to help in every search; the verdict is the first one's."""

    @cache
    def asked() -> list[Question]:
        return questions(graph, property, layout)

    look = _looker(graph, property, clock)
    said = assist(asked, settings.bounds, settings.branch, clock.progress, look, groups)
    if isinstance(said, Stop):
        raise said.error()
    assert isinstance(said, Verdict)
    return said


def _looker(graph: Graph, property: Property, clock: Clock) -> Look:
    replay = Replay(graph)

    def look(case: int, points: Tensor) -> Counterexample | None:
        region = property.cases[case].region
        for point in points.double().cpu().numpy():
            seen = clock.agree(replay(property, case, representable(region, point, graph.inputs)))
            if seen is not None:
                return seen
        return None

    return look


def _decide(
    graph: Graph,
    property: Property,
    layout: Layout,
    groups: Groups,
    standings: list[Standing],
    settings: Settings,
    clock: Clock,
) -> Verdict:
    look = _looker(graph, property, clock)

    def hunt(left: Mapping[int, Sequence[int]] | None = None) -> Counterexample | None:
        if not settings.attack.restarts:
            return None
        with clock.stage("attack"), layout.thrifty():
            chosen, seed = settings.attack, settings.seed
            seen = attack(graph, layout.weights, property, chosen, clock, seed, left)
            return clock.agree(seen)

    try:
        if (found := hunt()) is not None:
            return Falsified(found)
        standings += [Standing.unknown(question) for question in questions(graph, property, layout)]
        for standing in standings:
            climb(standing, settings.bounds, clock)
        if settings.bounds.method == "auto":
            left = _left(standings)
            if left and (found := hunt(left)) is not None:
                return Falsified(found)
            for place, standing in enumerate(standings):
                chosen = settings.bounds, settings.branch
                for search in branch(standing, *chosen, clock, look, groups, place):
                    if isinstance(search.found, Counterexample):
                        return Falsified(search.found)
    except OutOfTime:
        return TimedOut(_what_remains(standings), _worst(standings))
    except KeyboardInterrupt:
        return Unknown(f"interrupted; {_what_remains(standings)}", _worst(standings))
    if not any(standing.open.any() for standing in standings):
        return Verified(_worst(standings))
    return Unknown(_what_remains(standings), _worst(standings))


def questions(graph: Graph, property: Property, layout: Layout) -> list[Question]:
    """The property's cases as batches of regions that share their clauses."""
    shape = graph[graph.input].shape
    batches: dict[object, list[tuple[int, Case]]] = {}
    for place, case in enumerate(property.cases):
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
            box = region.interval
            center = ((box.lower + box.upper) / 2)[:1]
            with torch.no_grad():
                output = forward(margins.graph, layout.weights, center)
            slack = margins.slack(output, layout.dtype)
            found.append(Question(margins, region, places, slack, layout))
    return found


def _left(standings: list[Standing]) -> dict[int, list[int]]:
    """The clauses that are open, by case."""
    return {
        case: clauses.nonzero().flatten().tolist()
        for standing in standings
        for case, clauses in zip(standing.question.cases, standing.open, strict=True)
        if clauses.any()
    }


def _check(graph: Graph, property: Property) -> None:
    for case in property.cases[:1]:
        if isinstance(case.region, Box):
            agrees_with_source(graph, case.region)


def _worst(standings: list[Standing]) -> float:
    """The worst margin there is: of what is open in a search, else of what bounds alone gave."""
    return min((standing.reached for standing in standings), default=float("-inf"))


def _what_remains(standings: list[Standing]) -> str:
    if not standings:
        return "no bound was computed"
    still = sum(int(standing.open.sum()) for standing in standings)
    every = sum(standing.open.numel() for standing in standings)
    words = f"{still} of {every} clauses are not refuted"
    worst = _worst(standings)
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
