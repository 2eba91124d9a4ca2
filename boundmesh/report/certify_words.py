"""Writes the question that a run of `certify` answers, and the remarks beside its table."""

from __future__ import annotations

from collections.abc import Sequence

from boundmesh.certify.result import Certification
from boundmesh.settings import Method


def of_inputs(
    name: str, shape: Sequence[int], labelled: bool, eps: str, norm: str, clip: str | None
) -> str:
    """Describe the inputs, an array `[N, …]` in the file `name`, and their changes."""
    size = "×".join(map(str, shape[1:])) or "one number"
    whose = "labels given" if labelled else "the network's own predictions are kept"
    within = f", cut to {clip}" if clip else ""
    return (
        f"{name}: {shape[0]} of shape {size}, {whose}; each changed by at most {eps} "
        f"({norm}-norm){within}"
    )


def of_result(result: Certification, method: Method) -> list[str]:
    """Return the remarks that stand beside the table."""
    lines = []
    if result.labelled:
        low, high = result.certified_accuracy, result.robust_accuracy_at_most
        clean = f"clean accuracy {result.clean_accuracy:.1%}"
        sure = f"certified accuracy {low:.1%}"
        lines.append(f"{clean}, {sure}" + (f", at most {high:.1%} is possible" * (high > low)))
    if result.interrupted == "interrupted":
        lines.append("interrupted: the inputs that were still open are unknown")
    elif result.interrupted == "timeout":
        lines.append("out of time: a longer --timeout may decide more")
    elif result.count("unknown") and not result.interrupted:
        more = "a longer --timeout-per-input may decide the unknown"
        if method != "auto":
            more = "--method auto goes on to tighter bounds and searches what they leave open"
        lines.append(f"{more}; --csv gives reasons")
    return lines
