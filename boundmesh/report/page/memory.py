"""Memory over time, by the terms that are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from boundmesh.graph.graph import Graph
from boundmesh.report.facts import of_bytes
from boundmesh.report.page.chart import Chart, area, line, seconds_label
from boundmesh.report.page.scale import linear
from boundmesh.report.page.stage_memory import StageMemory
from boundmesh.runtime.history import History
from boundmesh.settings import Settings

MIB = 2**20


@dataclass(frozen=True)
class MemorySeries:
    """A part of the memory: its name, and its bytes at each time."""

    name: str
    values: Sequence[float]

    @property
    def most(self) -> str:
        return of_bytes(max(self.values))


@dataclass(frozen=True)
class Memory:
    """The memory of a run: its terms, which lie one above the other, and a chart of them.

    peak   the most memory, in words
    terms  the name and the most bytes of each term
    chart  None where memory was measured at fewer than two times
    note   what the numbers count
    stages  the memory of each stage
    """

    peak: str
    terms: tuple[tuple[str, str], ...]
    chart: Chart | None
    note: str
    stages: StageMemory


@dataclass(frozen=True)
class KnownMemory:
    """What is known of the memory of a run.

    weights   the bytes of the weights
    bounds    the bytes of two bounds of each neuron, for one region
    peak      the bytes of the peak
    device    the name of the device
    """

    weights: int
    bounds: int
    peak: int
    device: str


def taken(graph: Graph, settings: Settings, peak: int, device: str, neurons: int) -> KnownMemory:
    """Return what is known of the memory of a run that bounds so many neurons."""
    size = 8 if settings.dtype == "float64" else 4
    weights = sum(array.size for array in graph.weights.values()) * size
    return KnownMemory(weights, 2 * size * neurons, peak, device)


def memory(known: KnownMemory, history: History, stages: StageMemory) -> Memory:
    """Return the memory of a run, divided into terms as far as they are known, and by stage."""
    on_gpu = known.device.startswith("cuda")
    note = (
        "Counted are the tensors on the GPU. Open domains wait in host memory."
        if on_gpu
        else "Counted is the whole process, as the system reports it: Python and its libraries, "
        "the network, and everything that the run takes. Memory that was freed may stay with the "
        "process."
    )
    times, totals, peaks, waiting = _measured(history)
    terms = [("weights of the network", of_bytes(known.weights))]
    if known.bounds:
        terms.append(("two bounds of each neuron, for one region", of_bytes(known.bounds)))
    if max(waiting, default=0.0):
        terms.append(("open domains of branch and bound, at most", of_bytes(max(waiting))))
    chart = None
    if len(times) > 1:
        parts = _on_gpu(totals, known.weights) if on_gpu else _in_process(totals, waiting)
        chart = _chart(times, parts, peaks)
    return Memory(of_bytes(known.peak), tuple(terms), chart, note, stages)


def _measured(
    history: History,
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Return times, bytes taken, their peak so far, and the bytes of open domains."""
    times: list[float] = []
    totals: list[float] = []
    peaks: list[float] = []
    waiting: list[float] = []
    domains = 0.0
    for reading in history.readings:
        value = reading.facts.get("frontier_bytes", domains)
        domains = float(value) if isinstance(value, int | float) else domains
        if reading.stage not in ("branch", "refine"):
            domains = 0.0
        if reading.memory is not None:
            times.append(reading.seconds)
            totals.append(float(reading.memory.now))
            peaks.append(float(reading.memory.peak))
            waiting.append(domains)
    return times, totals, peaks, waiting


def _in_process(totals: Sequence[float], waiting: Sequence[float]) -> list[MemorySeries]:
    before = min(totals[0], *totals)
    rest = [max(0.0, now - before - own) for now, own in zip(totals, waiting, strict=True)]
    own = [min(part, now - before) for now, part in zip(totals, waiting, strict=True)]
    terms = [MemorySeries("before the run: Python, libraries, network", [before] * len(totals))]
    if max(own):
        terms.append(MemorySeries("open domains", own))
    return [*terms, MemorySeries("rows, slopes and bounds of the run", rest)]


def _on_gpu(totals: Sequence[float], weights: float) -> list[MemorySeries]:
    held = [min(now, weights) for now in totals]
    rest = [now - own for now, own in zip(totals, held, strict=True)]
    return [MemorySeries("weights", held), MemorySeries("rows, slopes and bounds of the run", rest)]


def _chart(times: Sequence[float], terms: Sequence[MemorySeries], peaks: Sequence[float]) -> Chart:
    x = linear(times[0], times[-1])
    y = linear(0.0, max(peaks) / MIB * 1.05)
    floor = [0.0] * len(times)
    curves = []
    for colour, term in enumerate(terms):
        top = [low + value / MIB for low, value in zip(floor, term.values, strict=True)]
        lower, upper = (list(zip(times, line_of, strict=True)) for line_of in (floor, top))
        curves.append(area(f"{term.name} (at most {term.most})", lower, upper, x, y, colour))
        floor = top
    highest = [peak / MIB for peak in peaks]
    points = list(zip(times, highest, strict=True))
    curves.append(line("peak so far", points, x, y, 7, step=True, dotted=False))
    return Chart(
        "Memory over time, by term",
        f"It began at {of_bytes(peaks[0])} and its peak was {of_bytes(peaks[-1])}.",
        "time since the run began",
        "MiB",
        x.ticks(seconds_label),
        y.ticks(lambda value: f"{value:,.0f}"),
        tuple(curves),
    )
