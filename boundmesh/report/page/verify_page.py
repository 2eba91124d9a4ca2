"""The page of one property: what was asked, the answer, and how it was found."""

from __future__ import annotations

import math
from dataclasses import dataclass

from boundmesh.proof.guarantee import arithmetic
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
from boundmesh.verdict import POSITIVE, Falsified, TimedOut, Unknown, Verified


@dataclass(frozen=True)
class Broken:
    """The condition that holds at a counterexample: in words, in numbers, and the outputs there."""

    condition: str
    numbers: str
    outputs: tuple[OutputRow, ...]
    left_out: int


@dataclass(frozen=True)
class VerifyPage:
    """The texts, figures and charts that the template `verify.html` shows."""

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
    found = verdict.counterexample if isinstance(verdict, Falsified) else None
    case = prop.cases[found.case if found else 0] if prop.cases else None
    shown = None if case is None else view(case.region, result.graph, prop, found)
    heading, sentence = words.ANSWERS[verdict.word]
    claim = words.listed(words.claim(prop)) or "there is no input for which anything is asked"
    broken = None
    if found is not None and case is not None:
        rows = outputs(found, prop)
        atoms = terms.parts_of(case.clauses[found.clause], prop)
        numbers = words.compared(case.clauses, prop, found.output.reshape(-1))
        condition = words.listed(atoms) or "true"
        broken = Broken(condition, numbers, rows, prop.outputs - len(rows))
    neurons = sum(every for _, every in result.unstable.values())
    where = ""
    if shown is not None:
        where = words.where(shown.near, shown.shape, prop.inputs)
        if "never" in claim:
            where = where.replace("every", "any", 1)
    return VerifyPage(
        head=Head(
            title=f"{heading}: {claim}",
            word=verdict.word,
            badge=heading,
            question=claim[0].upper() + claim[1:] + (f" for {where}" if where else "") + ".",
            sentence=sentence if prop.cases else "No input is left to check, so it holds.",
            cards=(),
            origin=origin,
            circumstances=circumstances(result.settings, result.device, origin.command),
        ),
        reason=reason(result),
        advice=advice(result),
        claim=claim,
        where=where,
        regions=len(prop.cases),
        network=terms.of_graph(result.graph),
        view=shown,
        broken=broken,
        margins=margin_table(result.reached, prop),
        bounds=bound_chart(result.history, proved=result.proved),
        domains=domain_chart(result.history),
        layers=layer_table(result.reached, result.unstable),
        course=course_of(
            result,
            sum(result.seconds.values()),
            neurons,
            stage_memory(result),
            words.guarantee(arithmetic(result.graph, result.settings, prop), verdict.word),
            dict.fromkeys((*prop.warnings, *result.history.warnings)),
        ),
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
