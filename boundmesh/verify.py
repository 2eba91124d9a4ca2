"""The story: read, attack, bound, branch; and bounds alone for those who want the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from boundmesh.attack.pgd import attack
from boundmesh.bounds.layout import Layout, OneDevice
from boundmesh.bounds.margins import margins_of
from boundmesh.bounds.program import Program
from boundmesh.bounds.region import region_tensors
from boundmesh.clock import Clock, OutOfTime
from boundmesh.device import choose_device, forget_peak, peak_bytes
from boundmesh.errors import BoundmeshError, DeviceError, ReadError
from boundmesh.graph.check import agrees_with_source
from boundmesh.graph.forward import forward
from boundmesh.graph.graph import Graph
from boundmesh.ladder import Question, Standing, climb, undecided_counts
from boundmesh.property import Ball, Box, Case, Property
from boundmesh.read import onnx, vnnlib
from boundmesh.report.progress import SILENT, Progress
from boundmesh.settings import Settings
from boundmesh.verdict import Falsified, TimedOut, Unknown, Verdict, Verified

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
    for warning in wanted.warnings:
        progress.warn(warning)
    device = choose_device(settings.device)
    forget_peak(device)
    layout = OneDevice(graph, device, _dtype(settings))
    with clock.stage("check"):
        _check(graph, wanted)
    try:
        standings: list[Standing] = []
        verdict = _decide(graph, wanted, layout, standings, settings, clock)
    except torch.OutOfMemoryError as error:
        raise DeviceError(_too_large(graph, device, settings)) from error
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


def _decide(
    graph: Graph,
    property: Property,
    layout: Layout,
    standings: list[Standing],
    settings: Settings,
    clock: Clock,
) -> Verdict:
    try:
        if settings.attack.restarts:
            with clock.stage("attack"):
                found = attack(graph, layout.weights, property, settings.attack, clock)
            if found is not None:
                return Falsified(found)
        standings += [Standing.unknown(question) for question in questions(graph, property, layout)]
        for standing in standings:
            climb(standing, settings.bounds, clock)
    except OutOfTime:
        return TimedOut(_what_remains(standings), _worst(standings))
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


def _check(graph: Graph, property: Property) -> None:
    for case in property.cases[:1]:
        if isinstance(case.region, Box):
            agrees_with_source(graph, case.region)


def _worst(standings: list[Standing]) -> float:
    return min((standing.worst for standing in standings), default=float("-inf"))


def _what_remains(standings: list[Standing]) -> str:
    if not standings:
        return "no bound was computed"
    still = sum(int(standing.open.sum()) for standing in standings)
    every = sum(standing.open.numel() for standing in standings)
    worst = _worst(standings)
    if worst == float("-inf"):
        return f"{still} of {every} clauses are not refuted, and the worst has no finite bound"
    return f"{still} of {every} clauses are not refuted; the worst margin is {worst:.6g}, not > 0"


def _too_large(graph: Graph, device: torch.device, settings: Settings) -> str:
    weights = sum(array.size for array in graph.weights.values())
    size = 8 if settings.dtype == "float64" else 4
    tile = settings.bounds.tile_elements * size
    return (
        f"out of memory on {device}: the weights take {weights * size / 2**20:.0f} MiB and every "
        f"copy of a tile {tile / 2**20:.0f} MiB; use smaller tiles (--tile-elements "
        f"{settings.bounds.tile_elements // 4}), --method crown-ibp, or a larger device"
    )


def _dtype(settings: Settings) -> torch.dtype:
    return torch.float64 if settings.dtype == "float64" else torch.float32
