"""Describes networks, properties and verdicts in words, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from boundmesh.graph.graph import Graph, counted
from boundmesh.property import Affine, Atom, Ball, Box, Choice, Clause, Property
from boundmesh.report.facts import NEXT_TO_NOTHING, number
from boundmesh.report.facts import of_bytes as of_bytes
from boundmesh.verdict import Falsified, TimedOut, Unknown, Verdict, Verified

SHOWN = 3
"""So many clauses, cases or layers are written out; the rest is counted."""


def of_graph(graph: Graph) -> str:
    """Describe a network: `64 inputs, 10 outputs; 3 linear, 2 relu; 5,930 weights`."""
    return graph.summary


def of_property(prop: Property) -> tuple[str, ...]:
    """Describe a property in a few lines; cases with the same clauses are described once."""
    regions: dict[tuple[Clause, ...], list[Box | Ball]] = {}
    for case in prop.cases:
        regions.setdefault(case.clauses, []).append(case.region)
    lines: list[str] = []
    for clauses, where in list(regions.items())[:SHOWN]:
        among = f" of {len(where)} regions, the first" if len(where) > 1 else ""
        lines.append(f"for every input{among} {of_region(where[0])},")
        lines.append(f"prove that {never(clauses, prop)}")
    if len(regions) > SHOWN:
        lines.append(f"and so on for {len(regions) - SHOWN} more")
    return tuple(lines) or ("no input is left to check",)


def of_region(region: Box | Ball) -> str:
    """Describe a region: `in 64 ranges, the widest 0.1`; `within 0.5 of a point (2-norm)`."""
    if isinstance(region, Ball):
        within = f"within {float(region.radius):g} of a point ({region.p:g}-norm)"
        return within if region.clip is None else within + ", cut to {:g}…{:g}".format(*region.clip)
    lower, upper = region.inner
    width = upper - lower
    fixed = int((width == 0).sum())
    free = f"in {counted(width.size - fixed, 'range')}, the widest {width.max(initial=0):.4g}"
    return f"{free}" + (f" ({counted(fixed, 'input')} fixed)" if fixed else "")


def of_atom(atom: Atom, prop: Property) -> str:
    """Write an atom with the names of its file: `Y[0,3] - Y[0,1] ≤ 0` as `Y[0,3] ≤ Y[0,1]`."""
    inputs = [(value, element(prop, "input", i)) for i, value in atom.inputs]
    outputs = [(value, element(prop, "output", j)) for j, value in atom.outputs]
    terms = inputs + outputs
    sign = "<" if atom.strict else "≤"
    if atom.bound == 0 and sorted(value for value, _ in terms) == [-1, 1]:
        (less,) = (name for value, name in terms if value > 0)
        (more,) = (name for value, name in terms if value < 0)
        return f"{less} {sign} {more}"
    if len(terms) == 1 and terms[0][0] == -1:
        return f"{terms[0][1]} {'>' if atom.strict else '≥'} {float(-atom.bound):g}"
    return f"{_sum(terms)} {sign} {float(atom.bound):g}"


def element(prop: Property, role: str, flat: int) -> str:
    """Return the name of a flat input or output in its file, or `x[3]` where it has none.

    A product of inputs and outputs is written with its factors, as in `(X[0]·Y[1])`.
    """
    first = prop.outputs - len(prop.products)
    if role == "output" and flat >= first:
        product = prop.products[flat - first]
        return f"({of_affine(product.left, prop)}·{of_affine(product.right, prop)})"
    for variable in prop.variables:
        if (variable.role == "input") == (role == "input") and flat in variable.where:
            place = variable.where.index(flat)
            index = np.unravel_index(place, variable.shape) if variable.shape else ()
            return f"{variable.name}[{','.join(str(int(i)) for i in index)}]"
    return f"{'x' if role == 'input' else 'y'}[{flat}]"


def of_affine(form: Affine, prop: Property) -> str:
    """Write a sum of inputs and outputs; one of several terms stands in parentheses."""
    terms = [(value, element(prop, "input", place)) for place, value in form.inputs]
    terms += [(value, element(prop, "output", place)) for place, value in form.outputs]
    if not form.constant:
        return _sum(terms) if len(terms) == 1 else f"({_sum(terms)})"
    sign = "-" if form.constant < 0 else "+"
    return f"({_sum(terms)} {sign} {float(abs(form.constant)):g})"


def of_verdict(verdict: Verdict, prop: Property) -> str:
    """Describe the verdict in a sentence."""
    match verdict:
        case Verified(bound):
            return f"proved: there is no counterexample{_margin(bound)}"
        case Falsified(found, _):
            clause = prop.cases[found.case].clauses[found.clause]
            met = of_clause(clause, prop)
            return f"refuted: at the input printed, replayed with ONNX Runtime, {met}"
        case Unknown(reason):
            return f"not decided: {reason}"
        case TimedOut(reason):
            return f"out of time: {reason}"


def of_arithmetic(name: str) -> str:
    """Describe the arithmetic in which a proof holds: `real`, a precision, or `trust`."""
    if name == "trust":
        return "no rounding is counted, so a proof holds only if rounding is small"
    if name == "real":
        return "a proof holds for real numbers, with every rounding of its computation counted"
    return f"a proof holds for the network as it runs in {name}, and for real numbers"


def of_unstable(unstable: Mapping[str, tuple[int, int]]) -> str:
    """Count unstable neurons: `unstable neurons: 12 of 48 in relu_1, 3 of 48 in relu_2`."""
    layers = [f"{some:,} of {every:,} in {name}" for name, (some, every) in unstable.items()]
    if len(layers) > 2 * SHOWN:
        layers = [*layers[:SHOWN], "…", *layers[-SHOWN:]]
    return "unstable neurons: " + (", ".join(layers) or "none")


def never(clauses: tuple[Clause, ...], prop: Property) -> str:
    """Describe what must hold: that no clause does, as in `never Y[0] ≤ Y[1], nor Y[2] ≥ 3`."""
    if (beside := compared_with_all(clauses, prop)) is not None:
        place, least, throughout = beside
        name = element(prop, "output", place)
        if throughout:
            return f"{name} is {'less' if least else 'greater'} than every other output"
        return f"{name} is not the {'smallest' if least else 'largest'} output"
    return f"never {_shortened([of_clause(clause, prop) for clause in clauses], ', nor ')}"


def of_clause(clause: Clause, prop: Property) -> str:
    """Write a clause: `Y[0] ≤ 1 and (Y[1] ≤ 0 or Y[2] ≥ 3)`; `true` where it has no atom."""
    return _shortened(parts_of(clause, prop), " and ")


def parts_of(clause: Clause, prop: Property) -> list[str]:
    """Write each atom and each choice of a clause."""
    atoms = [of_atom(atom, prop) for atom in clause.atoms]
    return [*atoms, *(_of_choice(choice, prop) for choice in clause.choices)]


def _of_choice(choice: Choice, prop: Property) -> str:
    parts = []
    for alternative in choice.alternatives[: SHOWN + 2]:
        atoms = _shortened([of_atom(atom, prop) for atom in alternative], " and ")
        parts.append(f"({atoms})" if len(alternative) > 1 else atoms)
    more = [""] * (len(choice.alternatives) - len(parts))
    return f"({_shortened([*parts, *more], ' or ')})"


def compared_with_all(clauses: tuple[Clause, ...], prop: Property) -> tuple[int, bool, bool] | None:
    """Return the output that is compared with all others, or None where none is.

    The second value is True where it is the least of all, and False where it is the greatest: it
    must be so (the third value is True), or it must not be so (False).
    """
    if any(clause.choices for clause in clauses):
        return None
    atoms = [clause.atoms[0] for clause in clauses if len(clause.atoms) == 1]
    if len(atoms) == len(clauses) and (beside := _beside_all(atoms, prop)):
        place, less = beside
        return place, not less, True
    if len(clauses) == 1 and (beside := _beside_all(clauses[0].atoms, prop)):
        return *beside, False
    return None


def _beside_all(atoms: Sequence[Atom], prop: Property) -> tuple[int, bool] | None:
    """Return the output that the atoms compare with all others, and True if it is the smaller."""
    pairs = set()
    for atom in atoms:
        terms = sorted((value, place) for place, value in atom.outputs)
        if atom.inputs or atom.bound or atom.strict or [value for value, _ in terms] != [-1, 1]:
            return None
        (_, more), (_, less) = terms
        pairs.add((less, more))
    if not pairs or len(pairs) != prop.outputs - 1:
        return None
    for side in (0, 1):
        same = {pair[side] for pair in pairs}
        if len(same) == 1:
            return same.pop(), side == 0
    return None


def _shortened(parts: Sequence[str], between: str) -> str:
    """Join the first parts, and count the rest, unless the rest is a single part."""
    shown = parts if len(parts) <= SHOWN + 1 else parts[:SHOWN]
    text = between.join(part or "true" for part in shown) or "true"
    return text if len(shown) == len(parts) else f"{text}{between}{len(parts) - SHOWN} more"


def _sum(terms: list[tuple[Fraction, str]]) -> str:
    words = ""
    for value, name in terms:
        sign = ("- " if value < 0 else "+ ") if words else ("-" if value < 0 else "")
        words += (" " if words else "") + sign
        words += name if abs(value) == 1 else f"{float(abs(value)):g}·{name}"
    return words or "0"


def _margin(bound: float) -> str:
    """Describe the smallest margin of a proof; nothing is known of one next to nothing."""
    if not np.isfinite(bound):
        return ""
    return f"; every margin is {'' if bound < NEXT_TO_NOTHING else 'at least '}{number(bound)}"
