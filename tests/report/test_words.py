import numpy as np
import pytest

from boundmesh.property import Atom, Ball, Box, Case, Clause, Property, Variable
from boundmesh.report import words
from boundmesh.verdict import Counterexample, Falsified, TimedOut, Unknown, Verified

VARIABLES = (
    Variable("X", "input", (2, 2), "Real"),
    Variable("Y", "output", (3,), "Real"),
    Variable("Z", "output", (1, 2), "Real", offset=3),
)
BOX = Box(np.zeros(4), np.array([1.0, 0.5, 0.0, 1.0]))


def prop(*clauses, variables=VARIABLES, region=BOX):
    return Property((Case(region, clauses),), 4, 5, variables)


def at_most(less, more):
    return Clause((Atom((), tuple(sorted([(less, 1.0), (more, -1.0)])), 0.0),))


def together(clauses):
    return Clause(tuple(atom for clause in clauses for atom in clause.atoms))


def test_elements_have_the_names_of_their_file():
    named = prop()
    assert words.element(named, "input", 3) == "X[1,1]"
    assert words.element(named, "output", 2) == "Y[2]"
    assert words.element(named, "output", 4) == "Z[0,1]"
    assert words.element(prop(variables=()), "output", 4) == "y[4]"


@pytest.mark.parametrize(
    ("atom", "text"),
    [
        (Atom((), ((0, 1.0), (1, -1.0)), 0.0), "Y[0] ≤ Y[1]"),
        (Atom((), ((0, -1.0), (1, 1.0)), 0.0, strict=True), "Y[1] < Y[0]"),
        (Atom((), ((2, 1.0),), 1.5), "Y[2] ≤ 1.5"),
        (Atom((), ((2, -1.0),), 1.5), "Y[2] ≥ -1.5"),
        (Atom((), ((2, -1.0),), 0.0, strict=True), "Y[2] > 0"),
        (Atom(((0, 2.0),), ((1, -1.0),), 3.0), "2·X[0,0] - Y[1] ≤ 3"),
    ],
)
def test_an_atom_reads_as_its_inequality(atom, text):
    assert words.of_atom(atom, prop()) == text


@pytest.mark.parametrize("place", range(5))
def test_a_comparison_with_every_other_output_is_recognised(place):
    others = [other for other in range(5) if other != place]
    name = words.element(prop(), "output", place)
    least = [at_most(place, other) for other in others]
    most = [at_most(other, place) for other in others]
    for clauses, text in (
        (least, f"{name} is greater than every other output"),
        (most, f"{name} is less than every other output"),
        ([together(least)], f"{name} is not the smallest output"),
        ([together(most)], f"{name} is not the largest output"),
    ):
        assert words.of_property(prop(*clauses))[-1] == f"prove that {text}"


def test_one_missing_rival_is_not_every_other_output():
    clauses = [at_most(0, other) for other in (1, 2, 3)]
    assert "every other" not in words.of_property(prop(*clauses))[-1]


def test_more_clauses_than_fit_are_counted():
    clauses = [at_most(0, 1), at_most(1, 2), at_most(2, 3), at_most(3, 4), at_most(4, 0)]
    assert words.of_property(prop(*clauses))[-1].endswith("Y[2] ≤ Z[0,0], nor 2 more")


def test_cases_that_ask_the_same_are_said_once():
    case = Case(BOX, (at_most(0, 1),))
    lines = words.of_property(Property((case, case, case), 4, 5, VARIABLES))
    assert lines[0].startswith("for every input of 3 regions, the first in 3 ranges")
    assert lines[1:] == ("prove that never Y[0] ≤ Y[1]",)


def test_a_region_counts_free_and_fixed_inputs():
    assert words.of_region(BOX) == "in 3 ranges, the widest 1 (1 input fixed)"
    assert words.of_region(Ball(np.zeros(4), 0.5, 2)) == "within 0.5 of a point (2-norm)"
    cut = Ball(np.zeros(4), 0.5, 1, (0, 1))
    assert words.of_region(cut) == "within 0.5 of a point (1-norm), cut to 0…1"


def test_a_property_without_cases_has_words():
    assert words.of_property(Property((), 4, 5)) == ("no input is left to check",)


def test_every_verdict_is_a_sentence():
    clause = at_most(0, 1)
    point = Counterexample(np.zeros(4), np.zeros(5), 0, 0)
    assert words.of_verdict(Verified(0.25), prop(clause)).endswith("every margin is at least 0.25")
    tiny = Verified(np.finfo(np.float64).tiny)
    assert words.of_verdict(tiny, prop(clause)).endswith("every margin is above 0")
    assert words.of_verdict(Verified(float("inf")), prop(clause)).endswith("no counterexample")
    assert "Y[0] ≤ Y[1]" in words.of_verdict(Falsified(point), prop(clause))
    assert words.of_verdict(Unknown("why", -1.0), prop(clause)) == "not decided: why"
    assert words.of_verdict(TimedOut("what", -1.0), prop(clause)) == "out of time: what"


def test_many_layers_are_shortened():
    unstable = {f"layer{number}": (number, 1000) for number in range(10)}
    text = words.of_unstable(unstable)
    assert "0 of 1,000 in layer0" in text
    assert "…" in text
    assert "9 of 1,000 in layer9" in text
    assert "layer5" not in text


@pytest.mark.parametrize(
    ("name", "said"),
    [("real", "for real numbers"), ("float32", "runs in float32"), ("trust", "no rounding")],
)
def test_the_arithmetic_of_a_proof_is_described(name: str, said: str) -> None:
    assert said in words.of_arithmetic(name)
