"""Tells the story of a query: read, compare the network, decide, report. Start reading here.

`decision.py` contains how a property is decided.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from boundmesh.attack.everywhere import RADII, shrunk
from boundmesh.attack.unconfirmed import of_unconfirmed
from boundmesh.bounds.sweep.program import Program
from boundmesh.decision import decide
from boundmesh.graph.forward import multiplications
from boundmesh.mesh.runtime.open import groups_for, layout_for
from boundmesh.models import read
from boundmesh.proof.guarantee import for_bounds, names_real
from boundmesh.proof.memory import check_fits, memory_errors
from boundmesh.proof.standing import margins_by_case, unstable_counts
from boundmesh.property import Property
from boundmesh.read.agreement import agrees_with_source
from boundmesh.read.inner_values import no_look
from boundmesh.result import Result
from boundmesh.run import Run
from boundmesh.runtime.clock import Clock, OutOfTime
from boundmesh.runtime.device import forget_peak, memory_of, name_of, peak_bytes, pin_threads
from boundmesh.runtime.history import Recorder
from boundmesh.runtime.progress import SILENT, Progress
from boundmesh.search.assisting import assist
from boundmesh.search.parallel.groups import ONE_GROUP, Stop
from boundmesh.settings import Settings
from boundmesh.verdict import Falsified, TimedOut, Verdict, Verified

if TYPE_CHECKING:
    from boundmesh.models import Models


def verify(
    model: Models,
    property: Property | str | Path,
    *,
    settings: Settings = Settings(),
    progress: Progress = SILENT,
) -> Result:
    """Decide a property of a network: Verified, Falsified, Unknown or TimedOut.

    `model` is an ONNX file, a Graph or an nn.Module; `property` a VNN-LIB file or a Property.
    Raises BoundmeshError for everything that bad input can cause, before any verdict.
    """
    recorder = Recorder(progress)
    clock = Clock(settings.timeout, recorder)
    torch.manual_seed(settings.seed)
    with clock.stage("read"):
        as_read, wanted = read(model, property)
        graph = for_bounds(as_read, settings, wanted)
    pin_threads(settings, multiplications(graph))
    for warning in wanted.warnings:
        recorder.warn(warning)
    groups = groups_for(settings) or ONE_GROUP
    layout = layout_for(graph.bounded, settings)
    run = Run(graph, wanted, layout, groups, settings, clock, as_read)
    device, clock.agree = run.layout.device, groups.agree
    forget_peak(device)
    recorder.measure = partial(memory_of, device)
    with memory_errors(graph, device, settings):
        verdict = _lead(run) if groups.number == 0 else _assist(run)
    unstable: dict[str, tuple[int, int]] = {}
    for standing in run.standings:
        graph_of = standing.question.margins.graph
        unstable |= unstable_counts(standing.bounds, Program(graph_of, graph_of.output))
        if standing.searches:
            standing.enter("branch")
    margins = margins_by_case(wanted, run.standings)
    return Result(
        verdict,
        clock.seconds,
        peak_bytes(device),
        unstable,
        wanted,
        graph,
        margins,
        tuple(reached for standing in run.standings for reached in standing.reached),
        recorder.history(),
        settings,
        name_of(device, settings.layout.shape.size),
    )


def _lead(run: Run) -> Verdict:
    """Run the story as the first group, then send its verdict to the other groups.

    An error is sent in the verdict's place, so that the other groups stop as well.
    """
    try:
        with run.clock.stage("check"):
            check_fits(run.graph, run.layout.device, run.settings)
            in_time = _check(run)
        verdict = (
            _with_unconfirmed(run, decide(run)) if in_time else TimedOut(UNCOMPARED, -math.inf)
        )
    except BaseException as error:
        run.groups.broadcast_object(Stop.of(error))
        raise
    run.groups.broadcast_object(verdict)
    return verdict


def _with_unconfirmed(run: Run, verdict: Verdict) -> Verdict:
    """Use a point that breaks the property only as ONNX Runtime rounds, if one was met.

    It is a warning beside a proof. Where nothing is proved, the network as it runs breaks the
    property at this point, so it is a counterexample; if the user named real arithmetic, it is only
    a part of the reason why nothing was decided.
    """
    point = run.replay.unconfirmed
    if point is None or isinstance(verdict, Falsified):
        return verdict
    text = of_unconfirmed(point, run.graph)
    if isinstance(verdict, Verified):
        run.clock.progress.warn(f"the proof is about real numbers: {text}")
        return verdict
    if names_real(run.settings):
        return replace(verdict, reason=f"{verdict.reason}; {text}")
    run.clock.progress.warn(f"the counterexample is about the network as it runs: {text}")
    return Falsified(point)


def _assist(run: Run) -> Verdict:
    """Help the first group in every search, then return the verdict that it sends."""
    chosen = run.settings.bounds, run.settings.branch
    received = assist(run.questions_in, *chosen, run.clock.progress, run.look, run.groups)
    if isinstance(received, Stop):
        raise received.error()
    assert isinstance(received, Verdict)
    return received


UNCOMPARED = "the network as read was not yet compared with ONNX Runtime"


def _check(run: Run) -> bool:
    """Compare the network as read with ONNX Runtime; return False where time did not suffice."""
    regions = [case.region for case in shrunk(run.property, RADII[0]).cases]
    look = run.clock.check if run.layout.looks_between_nodes else no_look
    try:
        agrees_with_source(run.as_read, regions, run.settings.seed, run.layout.dtype, look)
    except OutOfTime:
        return False
    return True
