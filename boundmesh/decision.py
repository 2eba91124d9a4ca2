"""The decision of a property: an attack, bounds, exact arithmetic, and splits where these fail.

The time and the memory of a run are watched by `verify.py`, which calls `decide` in the first group
of ranks.
"""

from __future__ import annotations

import math
from dataclasses import replace

from boundmesh.attack.everywhere import RADII, shrunk
from boundmesh.lookout import Lookout
from boundmesh.proof import exact, float64
from boundmesh.proof.guarantee import holds_in_real
from boundmesh.proof.ladder import climb, crown_passes, steps
from boundmesh.proof.standing import Standing, open_clauses, what_remains, worst_margin
from boundmesh.run import Run
from boundmesh.runtime.clock import OutOfTime
from boundmesh.search.decide import branch
from boundmesh.search.trial import Trials
from boundmesh.verdict import Counterexample, Falsified, TimedOut, Unknown, Verdict, Verified


def decide(run: Run) -> Verdict:
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
    for number, standing in enumerate(run.standings):
        chosen = settings.bounds, settings.branch, run.clock
        for search in branch(standing, *chosen, lookout, run.groups, number):
            if isinstance(search.found, Counterexample):
                return Falsified(search.found, "attack" if lookout.found else None)
    if open_clauses(run.standings) and lookout.finish():
        return _falsified(lookout)
    return None


def _falsified(lookout: Lookout) -> Falsified:
    assert lookout.found is not None
    return Falsified(lookout.found, "attack")


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
