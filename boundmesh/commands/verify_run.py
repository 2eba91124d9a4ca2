"""Reads what `boundmesh verify` is given, decides it, and tells what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from boundmesh.commands.region import Neighbourhood
from boundmesh.report.console import ConsoleProgress
from boundmesh.runtime.startup import seconds_since_start
from boundmesh.settings import Method, Settings

if TYPE_CHECKING:
    from boundmesh.result import Result

STYLES = {"unsat": "bold green", "sat": "bold red", "unknown": "yellow", "timed-out": "yellow"}


def read_and_decide(
    spec: Path | Neighbourhood,
    networks: Mapping[str | None, Path],
    strict: bool,
    shapes: dict[str, tuple[int, ...]],
    from_start: bool,
    settings: Settings,
    progress: ConsoleProgress,
) -> Result:
    """Read the networks and the property, tell what was read, and decide the property.

    spec        the property's file, or a neighbourhood of an input
    networks    the files of the networks, by name
    strict      True to refuse what VNN-LIB 2.0 does not have
    shapes      the shapes of inputs whose axes a file leaves open
    from_start  True to count the timeout from the start of this process
    """
    progress.stage("start")
    from boundmesh import api
    from boundmesh.api.reading import load_one
    from boundmesh.commands.query import read_query
    from boundmesh.proof.guarantee import arithmetic
    from boundmesh.report import words
    from boundmesh.runtime.device import set_aside

    progress.stage("read")
    began = perf_counter()
    if isinstance(spec, Neighbourhood):
        (file,) = networks.values()
        graph = api.load(file, shapes=shapes)
        prop, source = spec.property(graph), spec.file
    else:
        load = partial(load_one, shapes=shapes, property=spec)
        (graph, prop), source = read_query(spec, networks, load, shapes, strict), spec
    set_aside()
    files = ", ".join(file.name for file in networks.values())
    progress.say("network", f"{files}: {words.of_graph(graph)}")
    first, *more = words.of_property(prop)
    progress.say("property", f"{source.name}: {first}")
    for line in more:
        progress.say("", line)
    progress.say("arithmetic", words.of_arithmetic(arithmetic(graph, settings, prop)))
    reading = perf_counter() - began
    spent = seconds_since_start() if from_start else reading
    result = api.verify(graph, prop, settings=less(settings, spent), progress=progress)
    return replace(result, seconds={**result.seconds, "read": reading})


def less(settings: Settings, seconds: float) -> Settings:
    """Return `settings` with the timeout reduced by the seconds already spent on reading."""
    if settings.timeout is None:
        return settings
    return replace(settings, timeout=max(settings.timeout - seconds, 1e-3))


def tell(result: Result, method: Method, seconds: float, progress: ConsoleProgress) -> None:
    """Show the verdict, what may decide an open property, the seconds and the memory."""
    from boundmesh.report import words

    word = result.verdict.word
    progress.finish()
    progress.say(word, words.of_verdict(result.verdict, result.property), STYLES[word])
    if word in ("unknown", "timed-out") and result.unstable:
        progress.say("", words.of_unstable(result.unstable))
    if word == "unknown" and method != "auto":
        progress.say("", "--method auto goes on to tighter bounds and splits what they leave open")
    if word == "timed-out":
        progress.say("", "a longer --timeout or a faster --device may decide it")
    progress.say("", f"{seconds:.1f} s, peak memory {words.of_bytes(result.peak_bytes)}")
