"""Predicts the memory and the time of bounds on one device and on several, without running them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from boundmesh.bounds.sweep.largest_row import windowed_row
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.tile_heights import tiling
from boundmesh.graph.graph import Graph
from boundmesh.plan.layouts import imagined_layout, schedule_of
from boundmesh.plan.machine import Machine
from boundmesh.plan.neurons import Unstable
from boundmesh.plan.plan import ONE_DEVICE, Plan, Prediction, Ranks, Search, TileSize, methods_of
from boundmesh.plan.rehearsal import ITERATION, Bounding, Rehearsed, rehearse
from boundmesh.search.activation_split import default_batch

# Methods that bound no start node by rows.
WITHOUT_ROWS = {"ibp", "crown-ibp"}
# The bytes of a domain's margin and of the number of its clause.
MARGIN_AND_CLAUSE = 16

# Two tiles may share a weight, so two are run. On so many ranks a plan takes long, and a second
# tile is small beside everything else.
MANY = 64
# So many numbers of shards between two lines are all tried.
FEW = 4


def plan_bounds(
    bounding: Bounding,
    unstable: Unstable,
    machine: Machine,
    ranks: Ranks = ONE_DEVICE,
    memory: int | None = None,
) -> Plan:
    """Predict memory and time for every power of two in the range of shards, and for its ends.

    The least number of shards that fits is searched between the lines.
    """
    lines = tuple(_line(bounding, unstable, machine, ranks, count) for count in ranks.counts)
    result = Plan(
        bounding,
        unstable,
        machine,
        memory,
        lines,
        None,
        tuple(_tiles(bounding, unstable)),
        _search(bounding, unstable, machine) if bounding.method == "auto" else None,
    )
    return result if memory is None else replace(result, least=_least(result, ranks))


def _search(bounding: Bounding, unstable: Unstable, machine: Machine) -> Search:
    """Return the domains of a search: per unstable neuron α and β in 16 bits, and a split."""
    graph = bounding.graph
    program = Program(graph, graph.output)
    inputs = (node.inputs[0] for node in program.nonlinear)
    neurons = sum(unstable.slopes(name)(graph[name].size) for name in inputs)
    return Search(default_batch(program, gpu=machine.gpu), MARGIN_AND_CLAUSE + 5 * neurons)


def _line(
    bounding: Bounding, unstable: Unstable, machine: Machine, ranks: Ranks, shards: int
) -> Prediction:
    schedule = schedule_of(bounding, shards, ranks.schedule, ranks.offload)
    layout_of = imagined_layout(
        bounding, shards, schedule, ranks.offload, machine.gpu and shards <= ranks.per_host
    )
    tiles = 1 if shards >= MANY else 2
    by_method = {
        method: rehearse(replace(bounding, method=method), unstable, machine, layout_of, tiles)
        for method in methods_of(bounding)
    }
    largest = max(by_method.values(), key=lambda rehearsed: rehearsed.peak)
    stages = {
        f"{method} {stage}".strip(): work
        for method, rehearsed in by_method.items()
        for stage, work in rehearsed.stages.items()
    }
    seconds = sum(_seconds(rehearsed, bounding, schedule) for rehearsed in by_method.values())
    return Prediction(shards, schedule, largest.peak, largest.terms, stages, seconds)


def _seconds(rehearsed: Rehearsed, bounding: Bounding, schedule: str) -> float:
    """Return the time of all stages; the last rehearsed iteration stands for all that follow."""
    times = {name: work.total(schedule) for name, work in rehearsed.stages.items()}
    iterations = [seconds for name, seconds in times.items() if name.startswith(ITERATION)]
    missing = max(0, bounding.iterations - len(iterations))
    return sum(times.values()) + (missing * iterations[-1] if iterations else 0)


def _least(plan: Plan, ranks: Ranks) -> int | None:
    """Return the least number of shards that fits; None if no line does.

    Between two lines, few numbers are all tried. Among many, the least is found by bisection: one
    more rank may need a little more memory, so a smaller number could fit, too.
    """
    place = next((n for n, line in enumerate(plan.lines) if plan.holds(line)), None)
    if place is None:
        return None
    high = plan.lines[place].shards
    low = plan.lines[place - 1].shards if place else high

    def fits(shards: int) -> bool:
        line = _line(plan.bounding, plan.unstable, plan.machine, ranks, shards)
        return plan.holds(line)

    while high - low > FEW:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return next((shards for shards in range(low + 1, high) if fits(shards)), high)


def _tiles(bounding: Bounding, unstable: Unstable) -> Iterator[TileSize]:
    graph: Graph = bounding.graph
    program = Program(graph, graph.output)
    starts: Sequence[str] = () if {*methods_of(bounding)} <= WITHOUT_ROWS else program.starts
    counts = [(name, 2 * unstable.rows(name)(graph[name].size)) for name in starts]
    for name, rows in [*counts, (program.target, bounding.rows)]:
        if not rows or name in program.exact:
            continue
        units, gradients = name != program.target, "alpha-crown" in methods_of(bounding)
        given = program, name, bounding.domains, rows, bounding.tile_elements
        height = tiling(*given, gradients, units).height
        longest = windowed_row(program, name, gradients) if units else None
        yield TileSize(name, rows, height, longest or program.widest(name))
