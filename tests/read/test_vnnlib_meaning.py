"""VNN-LIB means what a second, naive reading says: nested lists, evaluated at points."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from hypothesis import given, settings
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
    if head == "=>":
        return truth(parts[-1], point) or not all([truth(part, point) for part in parts[:-1]])
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
    if head == "/":
        return values[0] / values[1]
    return math.prod(values, start=Fraction(1))


def holds(text: str, point: Mapping[str, Fraction]) -> bool:
    """Whether every assertion of the text is true at the point."""
    return all([truth(form[1], point) for form in nested(text) if form[0] == "assert"])


def refuted(property: Property, x: Sequence[Fraction], y: Sequence[Fraction]) -> bool:
    """Whether (x, y) lies in a case of which a clause holds."""
    return any(
        case.region.contains(x) and any(clause.holds(x, y) for clause in case.clauses)
        for case in property.cases
    )


# Few of them, so that bounds meet: eighths, which are floats, and tenths, which are not.
eighths = st.integers(-12, 12).map(lambda each: str(each / 8))
numbers = st.one_of(eighths, st.integers(-12, 12).map(lambda tenths: f"{tenths / 10:.1f}"))
constants = st.one_of(
    numbers,
    st.integers(-2, 2).map(str),
    st.sampled_from(["5e-1", "-.25E0", "1e-1", "0.3000", "(/ 1 3)", "(/ 0.1 0.25)"]),
)
variables = st.sampled_from(NAMES)
terms = st.one_of(
    constants,
    variables,
    st.builds("(* {} {})".format, numbers, variables),
    st.builds("(- {})".format, variables),
    st.builds("(+ {} {} {})".format, variables, constants, variables),
    st.builds("(- {} (* {} {} 2))".format, variables, variables, numbers),
    st.builds("(/ (+ {} (* 0.1 {})) 3)".format, variables, variables),
)
comparisons = st.builds(
    "({} {} {})".format, st.sampled_from(["<=", "<", ">=", ">", "=", "==", "!="]), terms, terms
)
bounds = st.builds("({} {} {})".format, st.sampled_from(["<=", ">=", "<"]), variables, constants)


def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, min_size=1, max_size=3).map(" ".join)
    return st.one_of(
        several.map("(and {})".format),
        several.map("(or {})".format),
        inner.map("(not {})".format),
        st.builds("(=> {} {})".format, inner, inner),
    )


formulas = st.recursive(st.one_of(bounds, comparisons), joined, max_leaves=8)
coordinates = st.one_of(
    st.integers(-10, 10).map(lambda each: Fraction(each, 8)),
    st.integers(-10, 10).map(lambda each: Fraction(each, 10)),
    st.fractions(-1, 1, max_denominator=60),
    st.floats(-1, 1).map(Fraction),
)
places = st.lists(coordinates, min_size=5, max_size=5)


@settings(max_examples=400)
@given(st.lists(formulas, min_size=1, max_size=4), st.lists(places, min_size=1, max_size=30))
def test_cases_hold_where_the_formula_is_true(assertions, points):
    text = DECLARED + BOUNDED + "".join(f"(assert {each})\n" for each in assertions)
    property = of(text)
    for values in points:
        point = dict(zip(NAMES, values, strict=True))
        assert refuted(property, values[:INPUTS], values[INPUTS:]) == holds(text, point), text


def mixed(form: list | str, chance: random.Random) -> str:
    """The form with the parts of every `and` and `or` in another order."""
    if isinstance(form, str):
        return form
    head, *parts = form
    if head in ("and", "or"):
        chance.shuffle(parts)
    return f"({' '.join([head, *(mixed(part, chance) for part in parts)])})"


def content(property: Property) -> set:
    """What the cases say, without their order."""
    return {
        (
            case.region.lower.tobytes(),
            case.region.upper.tobytes(),
            frozenset(case.region.exact_lower.items()),
            frozenset(case.region.exact_upper.items()),
            frozenset(frozenset(clause.atoms) for clause in case.clauses),
        )
        for case in property.cases
    }


@settings(max_examples=400)
@given(st.lists(formulas, min_size=1, max_size=4), st.integers(0, 999))
def test_the_order_of_assertions_and_of_their_parts_does_not_matter(assertions, seed):
    chance = random.Random(seed)
    one = DECLARED + BOUNDED + "".join(f"(assert {each})\n" for each in assertions)
    forms = nested("".join(assertions))
    chance.shuffle(forms)
    other = DECLARED + "".join(f"(assert {mixed(form, chance)})\n" for form in forms) + BOUNDED
    assert content(of(one)) == content(of(other)), other


@given(st.lists(formulas, min_size=1, max_size=3))
def test_cases_have_distinct_boxes_that_are_not_empty(assertions):
    property = of(DECLARED + BOUNDED + "".join(f"(assert {each})\n" for each in assertions))
    assert len({each[:4] for each in content(property)}) == len(property.cases)
    assert not any(case.region.empty for case in property.cases)
