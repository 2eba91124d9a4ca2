"""The page of one property: what was asked, the answer, and how it was found."""

from __future__ import annotations

import math
from dataclasses import dataclass

from boundmesh.proof.guarantee import arithmetic
from boundmesh.property import Property
from boundmesh.report import words as terms
from boundmesh.report.facts import of_margin
from boundmesh.report.page import words
from boundmesh.report.page.chart import Chart
from boundmesh.report.page.circumstances import Origin, circumstances
from boundmesh.report.page.course import Course, course_of
from boundmesh.report.page.effort import (
    LayerTable,
    bound_chart,
    domain_chart,
    layer_table,
)
from boundmesh.report.page.inputs import OutputRow, View, outputs, view
from boundmesh.report.page.margins import MarginTable, margin_table
from boundmesh.report.page.parts import Head
from boundmesh.report.page.stage_memory import stage_memory
from boundmesh.result import Result
from boundmesh.verdict import POSITIVE, Counterexample, Falsified, TimedOut, Unknown, Verified


@dataclass(frozen=True)
class Broken:
    """A condition that must never hold, and that holds at a counterexample.

    condition  the condition in words
    numbers    a sentence that compares the scores; empty where there is nothing to compare
    outputs    the outputs at the counterexample
    left_out   how many outputs have no row
    """

    condition: str
    numbers: str
    outputs: tuple[OutputRow, ...]
    left_out: int


@dataclass(frozen=True)
class VerifyPage:
    """The texts, figures and charts that the template `verify.html` shows.

    head     the verdict, and what is needed to repeat the run
    reason   a sentence about why there is no decision, or about how large the margins are
    advice   what may decide an open property
    claim    what the property claims, in words
    where    for which inputs it claims that; empty where there is no region
    regions  how many regions the property has
    network  the size of the network, in words
    view     the region that is shown, with the counterexample if there is one
    broken   the condition that holds at the counterexample
    margins  the margins after each stage
    bounds   a chart of the worst margin over time
    domains  a chart of the open domains over time
    layers   the unstable neurons of each layer
    course   the seconds and the memory of the run, and what its answer guarantees
    """

    head: Head
    reason: str
    advice: tuple[str, ...]
    claim: str
    where: str
    regions: int
    network: str
    view: View | None
    broken: Broken | None
    margins: MarginTable | None
    bounds: Chart | None
    domains: Chart | None
    layers: LayerTable | None
    course: Course


def verify_page(result: Result, origin: Origin) -> VerifyPage:
    """Assemble the page of a result."""
    prop, verdict = result.property, result.verdict
    counterexample = verdict.counterexample if isinstance(verdict, Falsified) else None
    case = prop.cases[counterexample.case if counterexample else 0] if prop.cases else None
    shown = None if case is None else view(case.region, result.graph, prop, counterexample)
    claim = words.listed(words.claim(prop)) or "there is no input for which anything is asked"
    where = _where(claim, shown, prop)
    return VerifyPage(
        head=_head(result, origin, claim, where),
        reason=reason(result),
        advice=advice(result),
        claim=claim,
        where=where,
        regions=len(prop.cases),
        network=terms.of_graph(result.graph),
        view=shown,
        broken=None if counterexample is None else broken_by(counterexample, prop),
        margins=margin_table(result.reached, prop),
        bounds=bound_chart(result.history, proved=result.proved),
        domains=domain_chart(result.history),
        layers=layer_table(result.reached, result.unstable),
        course=_course(result),
    )


def _where(claim: str, shown: View | None, prop: Property) -> str:
    """Tell for which inputs the claim is made; nothing where no region is shown."""
    if shown is None:
        return ""
    where = words.where(shown.near, shown.shape, prop.inputs)
    return where.replace("every", "any", 1) if "never" in claim else where


def _head(result: Result, origin: Origin, claim: str, where: str) -> Head:
    word = result.verdict.word
    heading, sentence = words.ANSWERS[word]
    return Head(
        title=f"{heading}: {claim}",
        word=word,
        badge=heading,
        question=claim[0].upper() + claim[1:] + (f" for {where}" if where else "") + ".",
        sentence=sentence if result.property.cases else "No input is left to check, so it holds.",
        cards=(),
        origin=origin,
        circumstances=circumstances(result.settings, result.device, origin.command),
    )


def broken_by(counterexample: Counterexample, prop: Property) -> Broken:
    """Describe the condition that holds at a counterexample."""
    clauses = prop.cases[counterexample.case].clauses
    rows = outputs(counterexample, prop)
    return Broken(
        condition=words.listed(terms.parts_of(clauses[counterexample.clause], prop)) or "true",
        numbers=words.compared(clauses, prop, counterexample.output.reshape(-1)),
        outputs=rows,
        left_out=prop.outputs - len(rows),
    )


def _course(result: Result) -> Course:
    used = arithmetic(result.graph, result.settings, result.property)
    return course_of(
        result,
        total=sum(result.seconds.values()),
        neurons=sum(every for _, every in result.unstable.values()),
        stages=stage_memory(result),
        guarantee=words.guarantee(used, result.verdict.word),
        warnings=dict.fromkeys((*result.property.warnings, *result.history.warnings)),
    )


def reason(result: Result) -> str:
    """Tell why there is no decision, or how large the margins of a proof are; else nothing."""
    match result.verdict:
        case Unknown(why) | TimedOut(why):
            return f"Why: {why}."
        case Verified(bound) if bound == POSITIVE:
            return "The proof gives no number for the smallest margin."
        case Verified(bound) if math.isfinite(bound):
            return f"Every margin is at least {of_margin(bound)}."
    return ""


def advice(result: Result) -> tuple[str, ...]:
    """Tell what may decide a property that is open."""
    lines = []
    if isinstance(result.verdict, TimedOut):
        lines.append("A longer --timeout or a faster --device may decide it.")
    if isinstance(result.verdict, Unknown) and result.settings.bounds.method != "auto":
        lines.append("--method auto goes on to tighter bounds, and splits what they leave open.")
    return tuple(lines)
