"""Writes the result of `certify`: a table for people, and CSV, JSON and NPZ for programs."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from boundmesh.certify.account import WORDS
from boundmesh.certify.result import Certification, Certified
from boundmesh.errors import BoundmeshError
from boundmesh.rational import fraction
from boundmesh.report.results import circumstances, write
from boundmesh.settings import Settings

COLUMNS = ("index", "label", "predicted", "verdict", "margin", "nearest", "certified_eps",
           "falsified_eps", "stage", "seconds", "reason")  # fmt: skip


def table(result: Certification) -> str:
    """Return the counts of all verdicts, and the radii where the largest were wanted."""
    lines = [f"{'inputs':<14} {len(result):>6}"]
    for word in WORDS:
        count = result.count(word)
        if word != "misclassified" or result.labelled:
            lines.append(f"{word:<14} {count:>6} {count / len(result):>8.1%}")
    if result.largest:
        lines += ["", f"{'radius':<14} {'certified':>10} {'refuted':>10}"]
        for name, share in (("smallest", 0), ("median", 0.5), ("largest", 1)):
            low = np.quantile(result.certified_eps, share, method="lower")
            high = np.quantile(result.falsified_eps, share, method="lower")
            lines.append(f"{name:<14} {low:>10.5g} {_radius(high):>10}")
    return "\n".join(lines) + "\n"


def csv_text(result: Certification, names: Sequence[str] = ()) -> str:
    """Return a line for each input, below a header; `names` are the inputs' files, if any."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(["file"] if names else [])])
    for certified in result:
        writer.writerow([*_cells(certified), *([names[certified.index]] if names else [])])
    return text.getvalue()


def content(
    result: Certification,
    settings: Settings,
    network: str,
    inputs: str,
    names: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the content of `boundmesh certify --json`."""
    eps = fraction(result.eps) if not isinstance(result.eps, float) else result.eps
    return {
        "counts": {"inputs": len(result), **result.counts},
        "certified_accuracy": result.certified_accuracy,
        "clean_accuracy": result.clean_accuracy if result.labelled else None,
        "eps": eps,
        "norm": "inf" if result.norm == math.inf else int(result.norm),
        "largest": result.largest,
        "interrupted": result.interrupted,
        "network": network,
        "source": inputs,
        "seconds": {**result.seconds, "total": result.total_seconds},
        "peak_bytes": result.peak_bytes,
        "inputs": [_of_input(certified, names) for certified in result],
        **circumstances(settings),
    }


def write_csv(path: Path, result: Certification, names: Sequence[str] = ()) -> None:
    """Write the lines of `csv_text`; raises BoundmeshError where that fails."""
    write(path, csv_text(result, names))


def write_npz(path: Path, result: Certification) -> None:
    """Write arrays: labels, predicted, verdicts, margins, radii, seconds and counterexamples.

    Raises BoundmeshError where that fails.
    """
    counterexamples = result.counterexamples
    shape = next(iter(counterexamples.values())).shape if counterexamples else (0,)
    points = np.stack([*counterexamples.values()]) if counterexamples else np.empty((0, *shape))
    try:
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                labels=result.labels,
                predicted=result.predicted,
                verdicts=result.verdicts,
                margins=result.margins,
                certified_eps=result.certified_eps,
                falsified_eps=result.falsified_eps,
                seconds=np.array([certified.seconds for certified in result]),
                counterexamples=points,
                counterexample_of=np.array([*counterexamples], dtype=np.int64),
            )
    except OSError as error:
        raise BoundmeshError(f"cannot write {path}: {error.strerror or error}") from None


def _cells(certified: Certified) -> list[str | int]:
    margin = f"{certified.margin:.6g}" if math.isfinite(certified.margin) else ""
    nearest = int(certified.margins.argmin()) if margin else ""
    falsified = repr(certified.falsified_eps) if math.isfinite(certified.falsified_eps) else ""
    known = certified.index, certified.label, certified.predicted, certified.verdict
    return [
        *known, margin, nearest, repr(certified.certified_eps), falsified, certified.stage,
        f"{certified.seconds:.4f}", certified.reason,
    ]  # fmt: skip


def _of_input(certified: Certified, names: Sequence[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "index": certified.index,
        "label": certified.label,
        "predicted": certified.predicted,
        "verdict": certified.verdict,
        "margins": [_finite(value) for value in certified.margins.tolist()],
        "certified_eps": certified.certified_eps,
        "falsified_eps": _finite(certified.falsified_eps),
        "counterexample": None
        if certified.counterexample is None
        else certified.counterexample.tolist(),
        "output": None if certified.output is None else certified.output.tolist(),
        "stage": certified.stage,
        "reason": certified.reason or None,
        "seconds": certified.seconds,
    }
    return fields | ({"file": names[certified.index]} if names else {})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _radius(value: float) -> str:
    return f"{value:.5g}" if math.isfinite(value) else "none"
