"""Tells a property, its answer and what the answer guarantees in plain English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from boundmesh.property import Case, Clause, Property
from boundmesh.report import words
from boundmesh.report.page.picture import ImageShape
from boundmesh.report.page.surroundings import Surroundings, of_radius

ANSWERS: Mapping[str, tuple[str, str]] = {
    "unsat": ("Proved", "It holds for every one of these inputs: no counterexample exists."),
    "sat": ("Refuted", "It does not hold: the input below breaks it."),
    "unknown": ("Not decided", "It was neither proved nor refuted."),
    "timed-out": ("Out of time", "It was neither proved nor refuted before the time ran out."),
}
"""The heading and the sentence for the word of each verdict."""

STAGES: Mapping[str, str] = {
    "start": "start of the program",
    "read": "reading the network and the property",
    "check": "comparison with ONNX Runtime",
    "score": "scores of the inputs",
    "attack": "search for a counterexample by gradients",
    "ibp": "bounds by intervals (IBP)",
    "crown-ibp": "bounds by CROWN-IBP",
    "crown": "bounds by CROWN",
    "alpha-crown": "bounds by α-CROWN",
    "float64": "bounds again in float64",
    "branch": "branch and bound",
    "refine": "sharper bounds of the layers, for branch and bound",
    "search": "search of single inputs by branch and bound",
    "clean": "another class without any change",
    "largest": "search of the largest radius",
}
"""What each stage does."""

METHODS: Mapping[str, str] = {
    "ibp": "IBP",
    "crown-ibp": "CROWN-IBP",
    "crown": "CROWN",
    "alpha-crown": "α-CROWN",
    "float64": "float64",
    "branch": "branch and bound",
    "search": "branch and bound",
}
"""Short names of the stages that bound, for the heads of columns."""

NORMS: Mapping[float, str] = {1.0: "sum of absolute changes", 2.0: "Euclidean length"}


def stage(name: str) -> str:
    """Describe a stage; the name of one that is not known describes itself."""
    return STAGES.get(name, name)


def method(name: str) -> str:
    """Return the short name of a stage that bounds."""
    return METHODS.get(name, name)


def claim(prop: Property) -> list[str]:
    """Tell what the property claims, a sentence for each kind of conditions."""
    kinds: dict[tuple[object, ...], list[Case]] = {}
    for case in prop.cases:
        kinds.setdefault(case.clauses, []).append(case)
    told = []
    for cases in list(kinds.values())[: words.SHOWN]:
        told.append(conditions(cases[0], prop))
    if len(kinds) > words.SHOWN:
        told.append(f"and other conditions in {len(kinds) - words.SHOWN} further regions")
    return told


def conditions(case: Case, prop: Property) -> str:
    """Tell what must hold in one region, as in `the score of class 3 stays above all others`."""
    beside = words.compared_with_all(case.clauses, prop)
    if beside is None:
        limits = [_limit(clause, prop) for clause in case.clauses]
        known = [limit for limit in limits if limit is not None]
        if len(known) < len(limits) or len(known) > words.SHOWN + 1:
            return f"it never happens that {words.never(case.clauses, prop).removeprefix('never ')}"
        return listed(known) or "nothing is asked, so it holds"
    place, least, throughout = beside
    name = words.element(prop, "output", place)
    if throughout:
        side = "below" if least else "above"
        return f"the score of class {place} ({name}) stays {side} all others"
    return f"{name} is never the {'smallest' if least else 'largest'} of all outputs"


def compared(clauses: tuple[Clause, ...], prop: Property, output: np.ndarray) -> str:
    """Compare the scores at a counterexample, where an output should have exceeded all others."""
    beside = words.compared_with_all(clauses, prop)
    if beside is None or not beside[2]:
        return ""
    place, least, _ = beside
    scores = -output if least else output
    others = np.delete(np.arange(scores.size), place)
    runner_up = int(others[scores[others].argmax()])
    return (
        f"Class {place} has the score {output[place]:.4g} there, and class {runner_up} has "
        f"{output[runner_up]:.4g}."
    )


def _limit(clause: Clause, prop: Property) -> str | None:
    """Tell what a clause of one output demands, as in `Y[0] stays below 3`; None for another."""
    atoms = clause.atoms
    if clause.choices or len(atoms) != 1 or atoms[0].inputs or len(atoms[0].outputs) != 1:
        return None
    ((place, factor),) = atoms[0].outputs
    if not factor:
        return None
    side = "above" if factor > 0 else "below"
    end = float(atoms[0].bound / factor)
    touched = f"at or {side}" if atoms[0].strict else side
    return f"{words.element(prop, 'output', place)} stays {touched} {end:.6g}"


def where(near: Surroundings | None, shape: ImageShape | None, inputs: int) -> str:
    """Tell for which inputs the claim is made."""
    if near is None:
        if shape is not None:
            return "every input in the ranges that the property gives"
        return f"every input in the {'ranges' if inputs > 1 else 'range'} below"
    what = "image" if shape is not None else "point"
    cut = ""
    if near.clip is not None:
        low, high = (f"{end:.4g}" for end in near.clip)
        cut = f", with values kept between {low} and {high}"
    if near.norm in NORMS:
        return (
            f"every input within {near.words} of this {what}, "
            f"measured by the {NORMS[near.norm]} ({near.norm:g}-norm){cut}"
        )
    unit = "pixel" if shape is not None else "value"
    several = len(set(map(of_radius, near.radii))) > 1
    each_part = f" in its {len(near.radii)} channels" if several else f" in each {unit}"
    return f"every input within {near.words} of this {what}{each_part}{cut}"


def guarantee(arithmetic: str, word: str) -> list[str]:
    """Tell what the answer guarantees in an arithmetic: `real`, a precision, or `trust`."""
    if word == "sat":
        return [
            "The input was replayed with ONNX Runtime on the network's own file, and the outputs "
            "shown are what it computed. It lies inside the region without any tolerance, and the "
            "condition holds there exactly as written.",
        ]
    about = {
        "trust": "No rounding was counted, as --rounding trust demands: margins only had to exceed "
        "the usual size of rounding errors. So a proof holds only if rounding is small.",
        "real": "A proof holds for the network computed in real numbers. Every rounding of the "
        "proof's own computation was bounded and subtracted, so the numbers shown are safe lower "
        "bounds. A network that runs in float32 rounds in addition; --rounding float32 counts that "
        "as well.",
    }
    precise = (
        f"A proof holds for the network as it runs in {arithmetic}, in whatever order it adds, and "
        "for real numbers as well. The roundings of the network and those of the proof's own "
        "computation were bounded and subtracted."
    )
    told = [about.get(arithmetic, precise)]
    if word != "unsat":
        told.append("There is no proof here: the margins below tell how far it came.")
    return told


def listed(parts: Sequence[str]) -> str:
    """Join words with commas and `and`."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
