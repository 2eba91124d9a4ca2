"""Conjunctions of many disjunctions are read factored, and decided as exact enumeration decides."""

from __future__ import annotations

import random
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from boundmesh.property import Box, Property
from boundmesh.read import vnnlib
from boundmesh.read.query import parse
from tests.queries.generate import Layers, Question, written
from tests.queries.judge import judged

SHAPES = {"Xf": [1, 2], "Yf": [1, 2]}
Boxes = Mapping[str, list[tuple[Fraction, Fraction]]]


def question(rng: random.Random, assertions: list[Any], layers: Layers | None = None) -> Question:
    inputs = SHAPES["Xf"][1]
    layers = layers or Layers.draw(rng, inputs, SHAPES["Yf"][1])
    box = (Fraction(-1), Fraction(1))
    ends = [
        (sign, ("Xf", i), end)
        for i in range(inputs)
        for sign, end in ((">=", box[0]), ("<=", box[1]))
    ]
    every = [*ends, *assertions]
    text = "(vnnlib-version <2.0>)\n(declare-network f "
    text += f"(declare-input Xf real [1,{inputs}]) (declare-output Yf real [1,2]))\n"
    text += "".join(f"(assert {written(each, SHAPES)})\n" for each in every)
    return Question(text, {"f": layers}, every, {"Xf": [box] * inputs})


def disjunct(rng: random.Random) -> Any:
    kind = rng.random()
    if kind < 0.3:
        return (rng.choice(["<=", ">=", "<"]), ("Xf", rng.randrange(2)), quarter(rng, 4))
    if kind < 0.4:
        return ("==", ("Xf", rng.randrange(2)), quarter(rng, 4))
    if kind < 0.6:
        return (rng.choice(["<=", ">="]), ("Yf", 0), ("+", ("Yf", 1), quarter(rng, 8)))
    if kind < 0.8:
        return (rng.choice(["<=", ">=", ">"]), ("Yf", rng.randrange(2)), quarter(rng, 12))
    return ("and", disjunct(rng), disjunct(rng))


def quarter(rng: random.Random, most: int) -> Fraction:
    return Fraction(rng.randint(-most, most), 4)


def read_factored(asked: Question) -> Property:
    query = parse(asked.text, Path("p.vnnlib"), strict=True)
    graph = asked.networks["f"].graph()
    return vnnlib.fit(query, graph.inputs, graph.outputs)


@pytest.mark.parametrize("seed", range(24))
def test_random_conjunctions_of_disjunctions_get_no_wrong_answer(seed: int) -> None:
    rng = random.Random(seed)
    ors = [("or", *(disjunct(rng) for _ in range(rng.randint(2, 4)))) for _ in range(9)]
    word, reason = judged(question(rng, ors), timeout=2.0)
    assert word in ("sat", "unsat", "open"), reason


def test_thirty_disjunctions_of_three_are_kept_factored() -> None:
    rng = random.Random(0)
    ors = [("or", *((">=", ("Yf", 0), quarter(rng, 4)) for _ in range(3))) for _ in range(30)]
    ors += [("or", ("<=", ("Yf", 1), Fraction(k)), ("<=", ("Yf", 0), Fraction(k))) for k in (1, 2)]
    (case,) = read_factored(question(rng, ors)).cases
    (clause,) = case.clauses
    assert 2 <= len(clause.choices) <= 32


def identity() -> Layers:
    """The outputs are relu(x₀ + x₁) and relu(x₀ − x₁)."""
    return Layers([[1, 1], [1, -1]], [0, 0], [[1, 0], [0, 1]], [0, 0])


def thirty(far: int) -> list[Any]:
    """Each assertion holds where y₀ ≥ 1, where y₁ ≥ 1, or far outside. The last excludes these."""
    ors = [
        (
            "or",
            (">=", ("Yf", 0), Fraction(100 + k, 100 + 2 * k)),
            (">=", ("Yf", 1), Fraction(100 + k, 100 + 2 * k)),
            (">=", ("Xf", 0), Fraction(far)),
        )
        for k in range(29)
    ]
    return [*ors, ("or", ("<=", ("Yf", 0), Fraction(1, 2)), ("<=", ("Yf", 1), Fraction(1, 2)))]


@pytest.mark.parametrize("far", [0, 3])
def test_thirty_disjunctions_of_three_are_decided(far: int) -> None:
    asked = question(random.Random(0), thirty(far), identity())
    assert judged(asked, timeout=20.0)[0] == "sat"
    never = ("or", *((sign, ("Yf", 0), Fraction(0)) for sign in ("<", "<")))
    limits = ("and", ("<=", ("Yf", 0), Fraction(1, 4)), ("<=", ("Yf", 1), Fraction(1, 4)))
    far_off = [("or", limits, never), *thirty(far)]
    if far:
        assert judged(question(random.Random(0), far_off, identity()), timeout=20.0)[0] == "unsat"


def test_inputs_of_three_values_each_are_divided_by_the_values() -> None:
    # x₀ and x₁ are one of −1, 0, 1. Then y₀ + y₁ ∈ {0, 1, 2}, so y₀ + y₁ = 1/2 nowhere.
    values = [("or", *(("==", ("Xf", i), Fraction(value)) for value in (-1, 0, 1))) for i in (0, 1)]
    idle = [("or", *((">=", ("Yf", 0), Fraction(-k - j)) for j in range(3))) for k in range(8)]
    total = ("+", ("Yf", 0), ("Yf", 1))
    between = ("and", (">=", total, Fraction(1, 4)), ("<=", total, Fraction(3, 4)))
    choice = ("or", between, ("and", between, (">=", ("Yf", 0), Fraction(0))))
    asked = question(random.Random(0), [*values, *idle, choice], identity())
    assert judged(asked, timeout=20.0)[0] == "unsat"


def test_inputs_that_only_disjunctions_bound_have_bounds() -> None:
    text = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 -5))"
    text += "(assert (or (<= X_0 3) (<= X_0 4) (<= X_0 -1)))" * 7
    text += "".join(f"(assert (or (>= Y_0 {k}) (<= Y_0 -{k}) (<= X_0 -{k})))" for k in range(1, 9))
    graph = Layers([[1]], [0], [[1]], [0]).graph()
    (case,) = vnnlib.fit(parse(text, Path("p.vnnlib")), graph.inputs, graph.outputs).cases
    assert isinstance(case.region, Box)
    assert (case.region.lower.item(), case.region.upper.item()) == (-5.0, 4.0)


def test_a_choice_without_alternatives_left_is_a_contradiction() -> None:
    rng = random.Random(1)
    idle = [("or", *((">=", ("Yf", 0), Fraction(-k - j)) for j in range(3))) for k in range(9)]
    impossible = ("or", (">=", ("Xf", 0), Fraction(2)), ("<=", ("Xf", 1), Fraction(-2)))
    assert read_factored(question(rng, [*idle, impossible])).cases == ()


def test_nested_conjunctions_in_one_disjunction_do_not_multiply() -> None:
    rng = random.Random(2)
    pairs = [
        ("or", (">=", ("Yf", 0), quarter(rng, 8)), ("<=", ("Yf", 1), quarter(rng, 8)))
        for _ in range(20)
    ]
    nested = ("or", ("and", *pairs), ("==", ("Xf", 0), Fraction(1, 2)))
    asked = question(rng, [nested])
    ((clause,),) = (case.clauses for case in read_factored(asked).cases)
    assert len(clause.choices) <= 20
    assert judged(asked, timeout=5.0)[0] != "wrong"
