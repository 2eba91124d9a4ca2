"""Results for programs: VNN-COMP's result file, and JSON as docs/json.md describes it."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from boundmesh import __version__
from boundmesh.errors import BoundmeshError
from boundmesh.proof.output_bounds import Bounds
from boundmesh.property import Property
from boundmesh.rational import fraction
from boundmesh.report.assignment import assignment, competition_assignment
from boundmesh.result import Result
from boundmesh.settings import Settings
from boundmesh.verdict import POSITIVE, Falsified, TimedOut, Unknown, Verdict

LIBRARIES = ("numpy", "onnx", "onnxruntime", "torch")


def answer(result: Result) -> str:
    """Return the text for standard output: the verdict, and for `sat` the assignment."""
    verdict = result.verdict
    if isinstance(verdict, Falsified):
        return f"{verdict.word}\n{assignment(verdict.counterexample, result.property)}"
    return f"{verdict.word}\n"


def competition_text(verdict: Verdict, property: Property) -> str:
    """Return VNN-COMP's result file: its word for the verdict, and for `sat` the point.

    The point is written in the form of the property's own version of VNN-LIB.
    """
    if isinstance(verdict, Falsified):
        counterexample = verdict.counterexample
        typed = bool(property.arithmetics)
        point = (
            assignment(counterexample, property)
            if typed
            else competition_assignment(counterexample, property)
        )
        return f"{verdict.word}\n{point}"
    return "timeout\n" if isinstance(verdict, TimedOut) else f"{verdict.word}\n"


def verdict_json(
    result: Result, settings: Settings, spec: str | None, network: str, seconds: float
) -> dict[str, Any]:
    """Return the content of `boundmesh verify --json`; `seconds` is the whole command's time."""
    return {
        **_verdict(result.verdict),
        "property": spec,
        "network": network,
        "seconds": {**result.seconds, "total": seconds},
        "peak_bytes": result.peak_bytes,
        "unstable": _layers(result.unstable),
        **circumstances(settings),
    }


def bounds_json(
    bounds: Bounds, settings: Settings, spec: str | None, network: str
) -> dict[str, Any]:
    """Return the content of `boundmesh bounds --json`."""
    return {
        "lower": [_finite(value) for value in bounds.lower.ravel().tolist()],
        "upper": [_finite(value) for value in bounds.upper.ravel().tolist()],
        "method": bounds.method,
        "property": spec,
        "network": network,
        "seconds": bounds.seconds,
        "peak_bytes": bounds.peak_bytes,
        "unstable": _layers(bounds.unstable),
        **circumstances(settings),
    }


def write(path: Path, text: str) -> None:
    """Write a result file; raises BoundmeshError where that fails."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BoundmeshError(f"cannot write {path}: {error.strerror or error}") from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON, without NaN or infinity, one key per line.

    Raises BoundmeshError where that fails.
    """
    lines = [f'"{key}": {json.dumps(value, allow_nan=False)}' for key, value in content.items()]
    write(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _verdict(verdict: Verdict) -> dict[str, Any]:
    content: dict[str, Any] = {"verdict": verdict.word}
    content |= {"reason": None, "bound": None, "counterexample": None}
    if isinstance(verdict, Falsified):
        counterexample = verdict.counterexample
        content["counterexample"] = {
            "input": counterexample.input.ravel().tolist(),
            "output": counterexample.output.ravel().tolist(),
            "case": counterexample.case,
            "clause": counterexample.clause,
            "exact": {str(place): fraction(value) for place, value in counterexample.exact.items()},
        }
    else:
        content["bound"] = None if verdict.bound == POSITIVE else _finite(verdict.bound)
    if isinstance(verdict, Unknown | TimedOut):
        content["reason"] = verdict.reason
    return content


def circumstances(settings: Settings) -> dict[str, Any]:
    """Return the settings of a run and the versions of all libraries, for JSON."""
    versions = {"boundmesh": __version__, "python": platform.python_version()}
    versions |= {library: version(library) for library in LIBRARIES}
    return {"settings": asdict(settings), "versions": versions}


def _layers(unstable: Mapping[str, tuple[int, int]]) -> dict[str, list[int]]:
    return {name: [some, every] for name, (some, every) in unstable.items()}


def _finite(value: float) -> float | None:
    """Return the value, or None for infinity, which JSON does not have: there is no bound."""
    return float(value) if math.isfinite(value) else None
