"""The tables and examples of a page of many inputs: by class, falsified inputs, all inputs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from boundmesh.certify.account import CERTIFIED, FALSIFIED, MISCLASSIFIED, UNKNOWN, WORDS
from boundmesh.certify.result import Certification, Certified
from boundmesh.report.facts import of_margin
from boundmesh.report.page.inputs import pictures_of
from boundmesh.report.page.picture import ImageShape, Picture, image_shape, value_range

MOST_EXAMPLES = 6
STYLES = {CERTIFIED: "unsat", FALSIFIED: "sat", MISCLASSIFIED: "error", UNKNOWN: "unknown"}
"""The colours of verdicts are those of the verdicts of a property."""


@dataclass(frozen=True)
class ClassRow:
    """The inputs of one label: how many there are, and how many have each verdict."""

    label: int
    inputs: int
    counts: tuple[int, ...]
    share: float


@dataclass(frozen=True)
class Example:
    """A falsified input: a sentence about it, and its pictures, where inputs are images."""

    sentence: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Line:
    """A line of the table of all inputs."""

    index: int
    label: int
    predicted: int
    verdict: str
    style: str
    margin: str
    radius: str
    stage: str
    seconds: float
    reason: str


def class_rows(result: Certification) -> tuple[ClassRow, ...]:
    """Return the inputs of each label, by verdict."""
    shown = [word for word in WORDS if result.count(word)]
    groups: dict[int, list[Certified]] = {}
    for each in result:
        groups.setdefault(each.label, []).append(each)
    rows = []
    for label, members in sorted(groups.items()):
        count = Counter(each.verdict for each in members)
        share = round(100 * count[CERTIFIED] / len(members), 2)
        rows.append(ClassRow(label, len(members), tuple(count[word] for word in shown), share))
    return tuple(rows)


def shape_of(result: Certification) -> ImageShape | None:
    """Return how the inputs form images; None where they do not."""
    return image_shape([port.shape for port in result.graph.inputs], result.points)


def examples(result: Certification) -> Sequence[Example]:
    """Return some falsified inputs, of as many labels as there are."""
    flat = result.points.reshape(len(result), -1)
    shape, values = shape_of(result), value_range(result.points)
    found = [each for each in result if each.verdict == FALSIFIED]
    turn: Counter[int] = Counter()
    order = []
    for each in found:
        order.append((turn[each.label], each.index, each))
        turn[each.label] += 1
    shown = []
    for _, _, each in sorted(order, key=lambda entry: entry[:2])[:MOST_EXAMPLES]:
        assert each.counterexample is not None and each.output is not None
        point, original = each.counterexample.reshape(-1), flat[each.index]
        becomes = int(np.asarray(each.output).reshape(-1).argmax())
        most = float(np.abs(point - original).max(initial=0))
        pictures = () if shape is None else pictures_of(original, point, shape, values)
        tie = " (a tie counts as lost)" if becomes == each.label else ""
        sentence = (
            f"Input {each.index}: class {each.label} becomes {becomes}{tie}, where values change "
            f"by at most {most:.4g}."
        )
        shown.append(Example(sentence, pictures))
    return shown


def line_of(each: Certified) -> Line:
    """Return the line of one input."""
    refuted = f" … {each.falsified_eps:.5g}" if math.isfinite(each.falsified_eps) else ""
    return Line(
        each.index,
        each.label,
        each.predicted,
        each.verdict,
        STYLES[each.verdict],
        of_margin(each.margin) if each.verdict in (CERTIFIED, UNKNOWN) else "",
        f"{each.certified_eps:.5g}{refuted}" if each.certified_eps >= 0 else "none",
        each.stage,
        each.seconds,
        each.reason,
    )
