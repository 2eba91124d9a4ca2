"""The whole story of a query: read, attack, bound, branch. Start reading here."""

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
from boundmesh.graph.forward import multiplications
from boundmesh.lookout import Lookout
from boundmesh.mesh.runtime.open import groups_for, layout_for
from boundmesh.models import read
from boundmesh.proof import exact, float64
from boundmesh.proof.guarantee import for_bounds, holds_in_real, names_real
from boundmesh.proof.ladder import climb, crown_passes, steps
from boundmesh.proof.memory import check_fits, memory_errors
from boundmesh.proof.standing import (
    Standing,
    margins_by_case,
    open_clauses,
    unstable_counts,
    what_remains,
    worst_margin,
)
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
from boundmesh.search.decide import branch
from boundmesh.search.parallel.groups import ONE_GROUP, Stop
from boundmesh.search.trial import Trials
from boundmesh.settings import Settings
from boundmesh.verdict import Counterexample, Falsified, TimedOut, Unknown, Verdict, Verified

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
        verdict = _lead(run) if groups.rank == 0 else _assist(run)
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
            _with_unconfirmed(run, _decide(run)) if in_time else TimedOut(UNCOMPARED, -math.inf)
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


def _search_everywhere(run: Run) -> Verdict:
    """Search a counterexample where inputs lack a bound, in ever larger regions.

    Nothing is proved: bounds need both ends of every range.
    """
    first, *more = run.property.unbounded.values()
    others = f" (and {len(more)} more)" if more else ""
    reason = f"no counterexample was found, and a proof needs bounds: {first}{others}"
    try:
        for radius in RADII:
            smaller = replace(run, property=shrunk(run.property, radius), standings=[])
            found = smaller.hunt()
            run.replay.unconfirmed = run.replay.unconfirmed or smaller.replay.unconfirmed
            if found is not None:
                return Falsified(found)
    except OutOfTime:
        return TimedOut(reason, -math.inf)
    except KeyboardInterrupt:
        return Unknown(f"interrupted; {reason}", -math.inf)
    return Unknown(reason, -math.inf)


def _climb(run: Run, lookout: Lookout) -> None:
    """Bound all questions by the methods of the settings, from the cheapest to the tightest.

    The light attack is finished before the second method, unless that is likely to cost less. Then
    it interrupts the method once its trial time is over.

    Before slopes are optimised, CROWN is tried in float64 where rounding may be what prevents a
    proof: it costs less than one iteration of α-CROWN.
    """
    settings, clock, standings = run.settings, run.clock, run.standings
    for standing in standings:
        cheapest = steps(standing.question, settings.bounds)[:1]
        climb(standing, settings.bounds, clock, methods=cheapest)
    for standing in standings:
        _, *more = steps(standing.question, settings.bounds)
        if not more or not standing.open.any():
            continue
        # A pass of the attack goes forward, too.
        dear = crown_passes(standing) > 2 * lookout.plan.passes
        if dear and lookout.finish_light():
            return
        if float64.helps(run.graph, run.layout):
            chosen = run.questions_in_float64, settings.bounds, clock
            float64.climb_again(standings, *chosen, methods=["crown"], only=standing)
        climb(standing, settings.bounds, clock, methods=more, pause=lookout.light_in_time)
        if lookout.found:
            return


def _settle(run: Run, lookout: Lookout) -> None:
    """Settle what bounds left open by exact arithmetic, then by bounds and trials in float64."""
    settings, clock, standings = run.settings, run.clock, run.standings
    if open_clauses(standings) and holds_in_real(run.graph, settings, run.property):
        if exact.suits(standings, run.graph, run.property) and lookout.finish_light():
            return
        with clock.stage("exact"):
            exact.settle_all(standings, run.graph, run.property, clock)
    if open_clauses(standings) and float64.helps(run.graph, run.layout):
        attempt = Trials(settings.bounds, settings.branch, clock)
        again = run.questions_in_float64, settings.bounds, clock
        float64.climb_again(standings, *again, attempt=attempt)


def _search(run: Run, lookout: Lookout) -> Falsified | None:
    """Split the regions that are open; return what breaks the property, or None."""
    settings = run.settings
    for place, standing in enumerate(run.standings):
        chosen = settings.bounds, settings.branch, run.clock
        for search in branch(standing, *chosen, lookout, run.groups, place):
            if isinstance(search.found, Counterexample):
                return Falsified(search.found, "attack" if lookout.found else None)
    if open_clauses(run.standings) and lookout.finish():
        return _falsified(lookout)
    return None


def _falsified(lookout: Lookout) -> Falsified:
    assert lookout.found is not None
    return Falsified(lookout.found, "attack")


def _attack_and_prove(run: Run, lookout: Lookout) -> Falsified | None:
    """Attack, bound and split; return what breaks the property, or None.

    What is proved is entered in `run.standings`. Any method but `auto` stops after its bounds.
    """
    alone = run.settings.bounds.method != "auto"
    if lookout.first() or (alone and lookout.finish_light()):
        return _falsified(lookout)
    run.standings.extend([Standing.at_start(question) for question in run.questions])
    _climb(run, lookout)
    if not lookout.found and not alone:
        _settle(run, lookout)
    if lookout.found:
        return _falsified(lookout)
    if alone:
        return None
    if open_clauses(run.standings) and lookout.in_time():
        return _falsified(lookout)
    return _search(run, lookout)


def _decide(run: Run) -> Verdict:
    """Decide the property, as far as time allows."""
    if run.property.unbounded and run.property.cases:
        return _search_everywhere(run)
    standings = run.standings
    try:
        # Reading may have taken all the time, above all the export of a module.
        run.clock.check()
        found = _attack_and_prove(run, Lookout(run))
    except OutOfTime:
        return TimedOut(what_remains(standings), worst_margin(standings))
    except KeyboardInterrupt:
        return Unknown(f"interrupted; {what_remains(standings)}", worst_margin(standings))
    if found is not None:
        return found
    if not any(standing.open.any() for standing in standings):
        return Verified(worst_margin(standings))
    return Unknown(what_remains(standings), worst_margin(standings))
