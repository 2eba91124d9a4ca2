"""Predicts the memory and the time of bounds on one device and on several, without running them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from boundmesh.bounds.sweep.largest_row import windowed_row
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.tile_heights import tile_height
from boundmesh.graph.graph import Graph
from boundmesh.plan.layouts import imagined_layout, schedule_of
from boundmesh.plan.machine import Machine
from boundmesh.plan.neurons import Unstable
from boundmesh.plan.rehearsal import ITERATION, Bounding, Rehearsed, rehearse
from boundmesh.plan.terms import Term
from boundmesh.plan.work import Work
from boundmesh.proof.ladder import AUTO
from boundmesh.runtime.memory import gibibytes
from boundmesh.search.activation_split import default_batch

# Methods that bound no start node by rows.
WITHOUT_ROWS = {"ibp", "crown-ibp"}
# The bytes of a domain's margin and of the number of its clause.
MARGIN_AND_CLAUSE = 16
PER_HOST = 8
"""So many GPUs or fewer are taken to be of one host and to read each other's memory."""

# Two tiles may share a weight, so two are run. On so many ranks a plan takes long, and a second
# tile is small beside everything else.
MANY = 64
# So many numbers of shards between two lines are all tried.
FEW = 4


@dataclass(frozen=True)
class Ranks:
    """The devices among which a run is divided.

    least, most  the smallest and the largest number of shards that is planned
    schedule     one of settings.SCHEDULES
    offload      one of settings.OFFLOADS
    per_host     how many GPUs of one host read each other's memory
    """

    least: int = 1
    most: int = 1
    schedule: str = "auto"
    offload: str = "none"
    per_host: int = PER_HOST

    @property
    def counts(self) -> list[int]:
        """The powers of two in the range, and its ends."""
        powers = [2**k for k in range(self.most.bit_length()) if self.least < 2**k < self.most]
        return sorted({self.least, *powers, self.most})


@dataclass(frozen=True)
class Line:
    """The prediction for one number of shards.

    shards    how many devices hold the network together
    schedule  one, gather or exchange
    peak      the bytes of all tensors at the peak, on the rank that holds most
    terms     the bytes of each term at the peak
    stages    the work of each stage: the sweeps from every start node, then one iteration
    seconds   the estimated time
    """

    shards: int
    schedule: str
    peak: float
    terms: Mapping[Term, float]
    stages: Mapping[str, Work]
    seconds: float


@dataclass(frozen=True)
class TileSize:
    """The tiles of the rows of one start node.

    start   the name of the start node
    rows    how many rows are bounded
    height  the rows of a tile
    length  the numbers of the longest row on its way to the input
    """

    start: str
    rows: int
    height: int
    length: int


@dataclass(frozen=True)
class Search:
    """The domains of a search that splits neurons, which `--method auto` adds to the bounds.

    batch         how many domains a rank bounds at a time
    domain_bytes  what an open domain takes in host memory, for clauses of one condition
    """

    batch: int
    domain_bytes: int


@dataclass(frozen=True, repr=False)
class Plan:
    """A prediction of what bounds take, for several numbers of shards.

    bounding  what is bounded
    unstable  how many neurons are taken to be unstable
    machine   the device
    memory    the bytes of each device (None: not given)
    lines     the predictions, by rising number of shards
    least     the least number of shards in the range that fits (None: none does, or no memory)
    tiles     the tiles of every start node, and of the output last
    search    the domains of a search, where the method is `auto`
    """

    bounding: Bounding
    unstable: Unstable
    machine: Machine
    memory: int | None
    lines: tuple[Line, ...]
    least: int | None
    tiles: tuple[TileSize, ...]
    search: Search | None = None

    def __repr__(self) -> str:
        sizes = [f"{gibibytes(line.peak)} on {line.shards}" for line in self.lines]
        shown = ", ".join([*sizes[:2], "…", sizes[-1]] if len(sizes) > 3 else sizes)
        verdict = "" if self.memory is None else f", fits={self.fits}, least={self.least}"
        return f"Plan({self.bounding.method}: {shown}{verdict})"

    @property
    def fits(self) -> bool:
        """True if some planned number of shards fits, or no memory was given."""
        return self.memory is None or self.least is not None

    def needed(self, line: Line) -> float:
        """Return the bytes that a device needs: tensors, and what the device keeps for itself."""
        return line.peak + self.machine.reserve

    def holds(self, line: Line) -> bool:
        """Return true if the line fits into the memory; true if none was given."""
        return self.memory is None or self.needed(line) <= self.memory


def plan_bounds(
    bounding: Bounding,
    unstable: Unstable,
    machine: Machine,
    ranks: Ranks = Ranks(),
    memory: int | None = None,
) -> Plan:
    """Predict memory and time for every power of two in the range of shards, and for its ends.

    The least number of shards that fits is searched between the lines.
    """
    lines = tuple(_line(bounding, unstable, machine, ranks, count) for count in ranks.counts)
    found = Plan(
        bounding,
        unstable,
        machine,
        memory,
        lines,
        None,
        tuple(_tiles(bounding, unstable)),
        _search(bounding, unstable, machine) if bounding.method == "auto" else None,
    )
    return found if memory is None else replace(found, least=_least(found, ranks))


def _search(bounding: Bounding, unstable: Unstable, machine: Machine) -> Search:
    """Return the domains of a search: per unstable neuron α and β in 16 bits, and a split."""
    graph = bounding.graph
    program = Program(graph, graph.output)
    inputs = (node.inputs[0] for node in program.nonlinear)
    neurons = sum(unstable.slopes(name)(graph[name].size) for name in inputs)
    return Search(default_batch(program, gpu=machine.gpu), MARGIN_AND_CLAUSE + 5 * neurons)


def methods_of(bounding: Bounding) -> tuple[str, ...]:
    """Return the methods that a run uses one after the other."""
    return AUTO if bounding.method == "auto" else (bounding.method,)


def _line(
    bounding: Bounding, unstable: Unstable, machine: Machine, ranks: Ranks, shards: int
) -> Line:
    schedule = schedule_of(bounding, shards, ranks.schedule, ranks.offload)
    layout_of = imagined_layout(
        bounding, shards, schedule, ranks.offload, machine.gpu and shards <= ranks.per_host
    )
    tiles = 1 if shards >= MANY else 2
    found = {
        method: rehearse(replace(bounding, method=method), unstable, machine, layout_of, tiles)
        for method in methods_of(bounding)
    }
    largest = max(found.values(), key=lambda each: each.peak)
    stages = {
        f"{method} {stage}".strip(): work
        for method, each in found.items()
        for stage, work in each.stages.items()
    }
    seconds = sum(_seconds(each, bounding, schedule) for each in found.values())
    return Line(shards, schedule, largest.peak, largest.terms, stages, seconds)


def _seconds(found: Rehearsed, bounding: Bounding, schedule: str) -> float:
    """Return the time of all stages; the last rehearsed iteration stands for all that follow."""
    times = {name: work.total(schedule) for name, work in found.stages.items()}
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
        height = tile_height(
            program, name, bounding.domains, rows, bounding.tile_elements, gradients, units
        )
        longest = windowed_row(program, name, gradients) if units else None
        yield TileSize(name, rows, height, longest or program.widest(name))
