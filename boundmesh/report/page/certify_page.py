"""The page of many inputs: how many keep their label, which do not, and what it took."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

from boundmesh.certify.account import CERTIFIED, FALSIFIED, MISCLASSIFIED, UNKNOWN, WORDS
from boundmesh.certify.result import Certification
from boundmesh.proof.guarantee import arithmetic
from boundmesh.report import words as terms
from boundmesh.report.page import words
from boundmesh.report.page.certify_charts import decided_chart, margin_chart, radius_chart
from boundmesh.report.page.certify_rows import (
    STYLES,
    ClassRow,
    Example,
    Line,
    class_rows,
    examples,
    line_of,
    shape_of,
)
from boundmesh.report.page.chart import Chart
from boundmesh.report.page.circumstances import Origin, circumstances
from boundmesh.report.page.course import Course, course_of
from boundmesh.report.page.parts import Card, Head
from boundmesh.report.page.stage_memory import StageMemory, stage_peaks

MOST_ROWS = 1000


@dataclass(frozen=True)
class CertifyPage:
    """The texts, figures and charts that the template `certify.html` shows."""

    head: Head
    network: str
    changes: str
    labels: str
    radii: Chart | None
    decided: Chart | None
    margins: Chart | None
    deciders: tuple[tuple[str, int], ...]
    classes: tuple[ClassRow, ...]
    words: tuple[str, ...]
    examples: tuple[Example, ...]
    falsified: int
    lines: tuple[Line, ...]
    left_out: int
    largest: bool
    course: Course


def certify_page(result: Certification, origin: Origin) -> CertifyPage:
    """Assemble the page of a certification."""
    counts, total = result.counts, len(result)
    images = shape_of(result) is not None
    badge = f"{counts[CERTIFIED]:,} of {total:,} certified"
    question = (
        f"How many of {total:,} {'images' if images else 'inputs'} keep their "
        f"{'label' if result.labelled else 'predicted class'} under every change "
        f"{_within(result)}?"
    )
    deciders = Counter(certified.stage for certified in result if certified.stage)
    lines = sorted(
        result, key=lambda certified: (WORDS.index(certified.verdict) == 0, certified.index)
    )
    return CertifyPage(
        head=Head(
            title=f"{badge}: {question}",
            word=_word(result),
            badge=badge,
            question=question,
            sentence=_sentence(result),
            cards=_cards(result),
            origin=origin,
            circumstances=circumstances(result.settings, result.device, origin.command),
        ),
        network=terms.of_graph(result.graph),
        changes=_changes(result),
        labels="given" if result.labelled else "the network's own predictions",
        radii=radius_chart(result),
        decided=decided_chart(result),
        margins=margin_chart(result),
        deciders=tuple((words.stage(name), count) for name, count in deciders.items()),
        classes=class_rows(result),
        words=tuple(word for word in WORDS if counts[word]),
        examples=tuple(examples(result)),
        falsified=counts[FALSIFIED],
        lines=tuple(line_of(certified) for certified in lines[:MOST_ROWS]),
        left_out=max(0, total - MOST_ROWS),
        largest=result.largest,
        course=course_of(
            result,
            result.total_seconds,
            0,
            StageMemory(stage_peaks(result.history)),
            _guarantee(result),
            result.history.warnings,
        ),
    )


def _word(result: Certification) -> str:
    counts = result.counts
    if counts[CERTIFIED] == len(result):
        return "unsat"
    return "mixed" if counts[CERTIFIED] or counts[UNKNOWN] else "sat"


def radius(eps: float | Fraction) -> str:
    """Write a radius as it was given: a fraction with its decimal, else a decimal."""
    if isinstance(eps, Fraction) and eps.denominator < 10**6 and 10**6 % eps.denominator:
        return f"{eps} ({float(eps):.4g})"
    return f"{float(eps):.6g}"


def _within(result: Certification) -> str:
    most = radius(result.eps)
    if result.norm == math.inf:
        return f"of each value by at most {most}"
    return f"of at most {most}, measured by the {words.NORMS[result.norm]} ({result.norm:g}-norm)"


def _changes(result: Certification) -> str:
    cut = ""
    if result.clip is not None:
        low, high = (f"{float(end):.6g}" for end in result.clip)
        cut = f"; changed values stay between {low} and {high}"
    return f"every change {_within(result)}{cut}"


def _sentence(result: Certification) -> str:
    counts = result.counts
    told = [f"{counts[CERTIFIED]:,} are proved to keep it"]
    if counts[FALSIFIED]:
        told.append(f"{counts[FALSIFIED]:,} lose it by a change that was found")
    if counts[MISCLASSIFIED]:
        told.append(f"{counts[MISCLASSIFIED]:,} have another class without any change")
    if counts[UNKNOWN]:
        told.append(f"{counts[UNKNOWN]:,} are not decided")
    early = {"timeout": " The time ran out.", "interrupted": " The run was interrupted."}
    return f"{words.listed(told)}.{early.get(result.interrupted, '')}"


def _cards(result: Certification) -> tuple[Card, ...]:
    counts = result.counts
    shown = [word for word in WORDS if word != MISCLASSIFIED or result.labelled]
    cards = [Card(f"{counts[word]:,}", word, STYLES[word]) for word in shown]
    if result.labelled:
        cards.append(Card(f"{result.clean_accuracy:.1%}", "accuracy without changes"))
        cards.append(Card(f"{result.certified_accuracy:.1%}", "certified accuracy"))
        if counts[UNKNOWN]:
            most = f"{result.robust_accuracy_at_most:.1%}"
            cards.append(Card(most, "robust accuracy at most"))
    cards.append(Card(f"{result.total_seconds:.1f} s", "time"))
    return tuple(cards)


def _guarantee(result: Certification) -> tuple[str, ...]:
    (proof,) = words.guarantee(arithmetic(result.graph, result.settings), "unsat")
    (replay,) = words.guarantee("", "sat")
    return proof, f"Each counterexample counts only after a replay. {replay}"
