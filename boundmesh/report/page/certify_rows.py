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
    for certified in result:
        groups.setdefault(certified.label, []).append(certified)
    rows = []
    for label, members in sorted(groups.items()):
        count = Counter(certified.verdict for certified in members)
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
    falsified = [certified for certified in result if certified.verdict == FALSIFIED]
    turn: Counter[int] = Counter()
    order = []
    for certified in falsified:
        order.append((turn[certified.label], certified.index, certified))
        turn[certified.label] += 1
    shown = []
    for _, _, certified in sorted(order, key=lambda entry: entry[:2])[:MOST_EXAMPLES]:
        assert certified.counterexample is not None and certified.output is not None
        point, original = certified.counterexample.reshape(-1), flat[certified.index]
        becomes = int(np.asarray(certified.output).reshape(-1).argmax())
        most = float(np.abs(point - original).max(initial=0))
        pictures = () if shape is None else pictures_of(original, point, shape, values)
        tie = " (a tie counts as lost)" if becomes == certified.label else ""
        sentence = (
            f"Input {certified.index}: class {certified.label} becomes {becomes}{tie}, "
            f"where values change by at most {most:.4g}."
        )
        shown.append(Example(sentence, pictures))
    return shown


def line_of(certified: Certified) -> Line:
    """Return the line of one input."""
    refuted = f" … {certified.falsified_eps:.5g}" if math.isfinite(certified.falsified_eps) else ""
    return Line(
        certified.index,
        certified.label,
        certified.predicted,
        certified.verdict,
        STYLES[certified.verdict],
        of_margin(certified.margin) if certified.verdict in (CERTIFIED, UNKNOWN) else "",
        f"{certified.certified_eps:.5g}{refuted}" if certified.certified_eps >= 0 else "none",
        certified.stage,
        certified.seconds,
        certified.reason,
    )
