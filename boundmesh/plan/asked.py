"""Makes a plan of what a user asks for: a model, perhaps a property or a region, and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from boundmesh.errors import BoundmeshError, DeviceError
from boundmesh.graph.graph import Graph
from boundmesh.models import load as load_model
from boundmesh.models import point_of, region_of, shapes_of_example
from boundmesh.plan.counting import count_unstable
from boundmesh.plan.machine import CPU, HOPPER, OTHER_GPU, Machine
from boundmesh.plan.neurons import Unstable
from boundmesh.plan.plan import PER_HOST, Plan, Prediction, Ranks
from boundmesh.plan.planning import plan_bounds
from boundmesh.plan.rehearsal import Bounding
from boundmesh.plan.words import parse_shards, parse_share, parse_size
from boundmesh.proof.guarantee import for_bounds
from boundmesh.proof.margin_rows import margins_of
from boundmesh.proof.question import TOGETHER
from boundmesh.property import Ball, Box, Clause, Property
from boundmesh.ranges import Number
from boundmesh.read import onnx, vnnlib
from boundmesh.read.open_axes import DeclaredShapes, check_names, declared_in
from boundmesh.runtime.device import dtype_of
from boundmesh.runtime.memory import refuse_beyond
from boundmesh.settings import Settings

if TYPE_CHECKING:
    from boundmesh.models import Model

# Reading a network, running IBP on it and widening it in float64 takes about so many copies.
COPIES = 2
POSITIVE_OR_NONE = Number(True, 1, optional=True)
ABOVE_ZERO = Number(False, 0, above=True)


@dataclass(frozen=True)
class Asked:
    """What a run would bound.

    graph    the network as a run rewrites it for its bounds
    rows     the rows of its output that are bounded together
    regions  the regions that are bounded together; empty where none was given
    """

    graph: Graph
    rows: int
    regions: Sequence[Box | Ball] = ()


def plan_of(
    model: Model,
    asked: Property | Box | Ball | str | Path | None,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    unstable: object,
    memory: object,
    mesh: object,
    rows: int | None,
    per_host: int | None,
    tflops: float | None,
    bandwidth: float | None,
    settings: Settings,
) -> Plan:
    """Plan the bounds of a model; `boundmesh.plan` describes the arguments."""
    least, most = parse_shards(mesh)
    size = None if memory is None else parse_size(memory)
    share = None if unstable is None else parse_share(unstable)
    chosen = settings.bounds
    rows = POSITIVE_OR_NONE.read("rows", rows)
    per_host = POSITIVE_OR_NONE.read("gpus_per_host", per_host)
    machine = _with_rates(machine_named(settings.device), tflops, bandwidth)
    counted = asked is not None and share is None
    question = _asked(model, asked, settings, rows, shapes or {}, shapes_only=not counted)
    shares = Unstable(1.0 if share is None else share)
    if counted:
        shares = count_unstable(question.graph, question.regions)
    bounding = Bounding(
        question.graph,
        chosen.method,
        question.rows,
        max(1, len(question.regions)),
        chosen.iterations,
        chosen.tile_elements,
        dtype_of(settings),
        "trust" in settings.rounding,
    )
    layout = settings.layout
    ranks = Ranks(least, most, layout.schedule, layout.offload, per_host or PER_HOST)
    return plan_bounds(bounding, shares, machine, ranks, size)


def planned_method(
    graph: Graph,
    property: Property,
    method: str,
    unstable: Unstable,
    machine: Machine,
    settings: Settings,
) -> Prediction:
    """Plan one bound method on the devices of `settings`, for a property's largest batch.

    `unstable` may be what a run has counted. Raises BoundmeshError for a property without regions.
    """
    asked, chosen, layout = _of_property(graph, property), settings.bounds, settings.layout
    bounding = Bounding(
        asked.graph,
        method,
        asked.rows,
        max(1, len(asked.regions)),
        chosen.iterations,
        chosen.tile_elements,
        dtype_of(settings),
        "trust" in settings.rounding,
    )
    shards = layout.shape.shards
    ranks = Ranks(shards, shards, layout.schedule, layout.offload)
    (line,) = plan_bounds(bounding, unstable, machine, ranks).lines
    return line


def _with_rates(machine: Machine, tflops: float | None, bandwidth: float | None) -> Machine:
    """Return the machine with the rates that the user states."""
    stated = {"operations": (tflops, 1e12, "tflops"), "bandwidth": (bandwidth, 1e9, "bandwidth")}
    given = {
        field: ABOVE_ZERO.read(name, value) * unit
        for field, (value, unit, name) in stated.items()
        if value is not None
    }
    if not given:
        return machine
    return replace(machine, rates=replace(machine.rates, **given, source="as stated"))


def machine_named(device: str) -> Machine:
    """Return what a plan takes for granted about a device named `auto`, `cpu` or `cuda`.

    A GPU is one like that of this machine, or of the kind Hopper where there is none.
    """
    if device == "cpu":
        return CPU
    if device != "auto" and not device.startswith("cuda"):
        raise DeviceError(f"device '{device}' is not known; expected auto, cpu or cuda")
    if torch.cuda.is_available() and torch.cuda.get_device_capability()[0] != 9:
        return OTHER_GPU
    return HOPPER


def _asked(
    model: Model,
    asked: Property | Box | Ball | str | Path | None,
    settings: Settings,
    rows: int | None,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    shapes_only: bool,
) -> Asked:
    graph, method = _graph(model, asked, shapes, shapes_only=shapes_only), settings.bounds.method
    if isinstance(asked, str | Path):
        asked = vnnlib.load(asked, graph.inputs, graph.outputs)
    graph = for_bounds(graph, settings, asked if isinstance(asked, Property) else None)
    if isinstance(asked, Property):
        result = _of_property(graph, asked)
    else:
        size = graph[graph.output].size
        # Lower and upper bounds of all outputs; α-CROWN computes one after the other.
        regions = () if asked is None else (region_of(asked, graph[graph.input].size),)
        result = Asked(graph, size if method in ("alpha-crown", "auto") else 2 * size, regions)
    return result if rows is None else replace(result, rows=rows)


def _graph(
    model: Model,
    asked: Property | Box | Ball | str | Path | None,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    shapes_only: bool,
) -> Graph:
    example = None if asked is None or isinstance(asked, str | Path | Property) else asked
    point = None if example is None else point_of(example)
    if not isinstance(model, str | Path):
        if shapes:
            raise BoundmeshError("shapes are for a network in a file; this one has its lengths")
        return load_model(model, point)
    of_file = declared_in(asked if isinstance(asked, str | Path) else None)
    declared = of_file if point is None else DeclaredShapes(shapes_of_example(point))
    graph = declared.opened(lambda known: onnx.load(model, shapes_only=True, lengths=known), shapes)
    check_names(shapes, (port.name for port in graph.inputs))
    if shapes_only:
        return graph
    weights = sum(array.nbytes for array in graph.weights.values())
    refuse_beyond(
        f"counting the unstable neurons of {model} by IBP",
        COPIES * weights,
        "state a share instead, as in --unstable 100%",
    )
    return declared.opened(lambda known: onnx.load(model, lengths=known), shapes)


def _of_property(graph: Graph, property: Property) -> Asked:
    """Return the largest batch of regions with the same clauses that a run would bound."""
    together: dict[tuple[tuple[Clause, ...], float | None], list[Box | Ball]] = {}
    for case in property.cases:
        if not case.region.empty:
            kind = case.region.p if isinstance(case.region, Ball) else None
            together.setdefault((case.clauses, kind), []).append(case.region)
    if not together:
        raise BoundmeshError(
            "the property has no region with points in it: there is no run to plan"
        )
    (clauses, _), regions = max(together.items(), key=lambda pair: len(pair[1]))
    margins = margins_of(graph, clauses)
    return Asked(margins.graph, max(1, len(margins.bound)), regions[:TOGETHER])
