"""VNN-LIB means what a second, naive reading says: nested lists, evaluated at points."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from boundmesh.graph.graph import Port
from boundmesh.property import Property
from boundmesh.read import vnnlib
from boundmesh.read.query import parse

INPUTS, OUTPUTS = 3, 2
PORTS = (Port("x", (1, INPUTS)),), (Port("y", (OUTPUTS,)),)
NAMES = [f"X_{i}" for i in range(INPUTS)] + [f"Y_{j}" for j in range(OUTPUTS)]
DECLARED = "".join(f"(declare-const {name} Real)\n" for name in NAMES)
BOUNDED = "".join(f"(assert (>= X_{i} -1))\n(assert (<= X_{i} 1))\n" for i in range(INPUTS))


def of(text: str) -> Property:
    return vnnlib.fit(parse(text, Path("p.vnnlib")), *PORTS)


ORDER = {
    "<=": lambda a, b: a <= b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
    "=": lambda a, b: a == b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def nested(text: str) -> list:
    stack: list[list] = [[]]
    lines = [line.split(";")[0] for line in text.splitlines()]
    for word in " ".join(lines).replace("(", " ( ").replace(")", " ) ").split():
        if word == "(":
            stack.append([])
        elif word == ")":
            form = stack.pop()
            stack[-1].append(form)
        else:
            stack[-1].append(word)
    return stack[0]


def truth(form: list, point: Mapping[str, Fraction]) -> bool:
    head, *parts = form
    if head == "and":
        return all([truth(part, point) for part in parts])
    if head == "or":
        return any([truth(part, point) for part in parts])
    if head == "not":
        return not truth(parts[0], point)
    return ORDER[head](number(parts[0], point), number(parts[1], point))


def number(form: list | str, point: Mapping[str, Fraction]) -> Fraction:
    if isinstance(form, str):
        return point[form] if form in point else Fraction(form)
    head, *parts = form
    values = [number(part, point) for part in parts]
    if head == "+":
        return sum(values, Fraction(0))
    if head == "-":
        return -values[0] if len(values) == 1 else values[0] - sum(values[1:], Fraction(0))
    product = Fraction(1)
    for value in values:
        product *= value
    return product


def holds(text: str, point: Mapping[str, Fraction]) -> bool:
    """Whether every assertion of the text is true at the point."""
    return all([truth(form[1], point) for form in nested(text) if form[0] == "assert"])


def refuted(property: Property, x: np.ndarray, y: np.ndarray) -> bool:
    """Whether (x, y) lies in a case of which a clause holds."""
    return any(
        case.region.contains(x) and any(clause.holds(x, y) for clause in case.clauses)
        for case in property.cases
    )


# Eighths are exact in binary, so that the naive evaluation needs no rounding.
numbers = st.integers(-12, 12).map(lambda eighths: str(Fraction(eighths, 8).__float__()))
constants = st.one_of(numbers, st.integers(-2, 2).map(str), st.sampled_from(["5e-1", "-.25E0"]))
variables = st.sampled_from(NAMES)
terms = st.one_of(
    constants,
    variables,
    st.builds("(* {} {})".format, numbers, variables),
    st.builds("(- {})".format, variables),
    st.builds("(+ {} {} {})".format, variables, constants, variables),
    st.builds("(- {} (* {} {} 2))".format, variables, variables, numbers),
)
comparisons = st.builds(
    "({} {} {})".format, st.sampled_from(["<=", "<", ">=", ">", "=", "==", "!="]), terms, terms
)
bounds = st.builds("({} {} {})".format, st.sampled_from(["<=", ">=", "<"]), variables, constants)


def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, min_size=1, max_size=3).map(" ".join)
    return st.one_of(
        several.map("(and {})".format), several.map("(or {})".format), inner.map("(not {})".format)
    )


formulas = st.recursive(st.one_of(bounds, comparisons), joined, max_leaves=8)
places = st.lists(st.integers(-10, 10), min_size=5, max_size=5)


@given(st.lists(formulas, min_size=1, max_size=4), st.lists(places, min_size=1, max_size=30))
def test_cases_hold_where_the_formula_is_true(assertions, points):
    text = DECLARED + BOUNDED + "".join(f"(assert {each})\n" for each in assertions)
    property = of(text)
    for eighths in points:
        values = [Fraction(each, 8) for each in eighths]
        point = dict(zip(NAMES, values, strict=True))
        x, y = np.array(values[:INPUTS], float), np.array(values[INPUTS:], float)
        assert refuted(property, x, y) == holds(text, point), text


@given(st.lists(formulas, min_size=1, max_size=3))
def test_cases_have_distinct_boxes_that_are_not_empty(assertions):
    property = of(DECLARED + BOUNDED + "".join(f"(assert {each})\n" for each in assertions))
    boxes = [(c.region.lower.tobytes(), c.region.upper.tobytes()) for c in property.cases]
    assert len(set(boxes)) == len(boxes)
    assert not any(case.region.empty for case in property.cases)
