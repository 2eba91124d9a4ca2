"""VNN-LIB 1.0: what forms mean, and what is refused."""

from __future__ import annotations

import gzip
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from boundmesh.errors import PropertyError, ReadError
from boundmesh.graph.graph import Port
from boundmesh.property import Property
from boundmesh.read import vnnlib
from boundmesh.read.query import parse

INPUTS, OUTPUTS = 3, 2
PORTS = (Port("x", (1, INPUTS)),), (Port("y", (OUTPUTS,)),)
NAMES = [f"X_{i}" for i in range(INPUTS)] + [f"Y_{j}" for j in range(OUTPUTS)]
DECLARED = "".join(f"(declare-const {name} Real)\n" for name in NAMES)
BOUNDED = "".join(f"(assert (>= X_{i} -1))\n(assert (<= X_{i} 1))\n" for i in range(INPUTS))


def of(text: str, inputs=PORTS[0], outputs=PORTS[1]) -> Property:
    return vnnlib.fit(parse(text, Path("p.vnnlib")), inputs, outputs)


def test_disjunctions_of_several_assertions_are_intersected():
    property = of(
        DECLARED
        + BOUNDED
        + "(assert (or (<= X_0 0) (>= X_0 0.5)))"
        + "(assert (or (and (<= X_0 -0.5) (>= Y_0 1)) (and (>= X_0 0.25) (>= Y_1 2))))"
    )
    found = [(c.region.lower[0], c.region.upper[0], c.clauses[0].atoms) for c in property.cases]
    assert [(lower, upper) for lower, upper, _ in found] == [(-1, -0.5), (0.5, 1)]
    assert [atoms[0].outputs for *_, atoms in found] == [((0, -1.0),), ((1, -1.0),)]


def test_cases_with_one_box_share_it_as_clauses():
    outputs = "".join(f"(and (<= Y_0 {k}) (>= Y_1 {k}))" for k in range(600))
    (case,) = of(DECLARED + BOUNDED + f"(assert (or {outputs}))").cases
    assert len(case.clauses) == 600
    assert all(len(clause.atoms) == 2 for clause in case.clauses)


def test_not_less_or_equal_is_strictly_greater():
    (case,) = of(DECLARED + BOUNDED + "(assert (not (<= Y_0 0.5)))").cases
    (atom,) = case.clauses[0].atoms
    assert (atom.outputs, atom.bound, atom.strict) == (((0, -1.0),), -0.5, True)


def test_a_strict_bound_of_an_input_closes_the_box_and_stays_as_an_atom():
    (case,) = of(DECLARED + BOUNDED + "(assert (< X_0 0.5))").cases
    (atom,) = case.clauses[0].atoms
    assert case.region.upper[0] == 0.5
    assert (atom.inputs, atom.bound, atom.strict) == (((0, 1.0),), 0.5, True)


def test_a_linear_constraint_on_inputs_narrows_the_box_and_stays_as_an_atom():
    (case,) = of(DECLARED + BOUNDED + "(assert (<= (+ X_0 (* 2 X_1)) -2))").cases
    assert case.region.upper.tolist() == [0, -0.5, 1]
    assert case.clauses[0].atoms[0].inputs == ((0, 1.0), (1, 2.0))


def test_an_input_bounded_through_another_is_bounded():
    text = DECLARED + BOUNDED.replace("(assert (<= X_1 1))", "(assert (<= X_1 (* 3 X_0)))")
    (case,) = of(text).cases
    assert case.region.upper[1] == 3


def test_a_bound_that_is_no_float_is_rounded_outwards_and_kept_exact():
    (case,) = of(DECLARED + BOUNDED + "(assert (<= (* 3 X_0) 1))").cases
    assert Fraction(case.region.upper[0]) > Fraction(1, 3)
    at = lambda value: [value, Fraction(0), Fraction(0)]  # noqa: E731
    assert case.region.contains(at(Fraction(1, 3)))
    assert not case.region.contains(at(Fraction(1, 3) + Fraction(1, 10**30)))
    assert not case.region.contains(at(case.region.upper[0]))
    assert case.region.contains(at(np.nextafter(case.region.upper[0], -1)))


def test_bounds_are_exact_and_the_floats_around_them_enclose_them():
    text = DECLARED + BOUNDED + "(assert (<= X_0 1e-1)) (assert (>= X_1 -.3)) (assert (= X_2 +0.7))"
    (case,) = of(text).cases
    region = case.region
    # The float64 nearest to a decimal lies above it or below it.
    assert (region.upper[0], region.lower[1]) == (0.1, np.nextafter(-0.3, -1))
    assert (region.lower[2], region.upper[2]) == (0.7, np.nextafter(0.7, 1))
    assert Fraction(0.1) > Fraction("0.1") and Fraction(0.7) < Fraction("0.7")
    assert not region.contains([0.1, -0.3, 0.7])
    assert region.contains([np.nextafter(0.1, 0), -0.3 + 2**-53, Fraction("0.7")])
    assert region.between == {2: Fraction("0.7")}


def test_constants_are_added_exactly_before_they_are_rounded():
    (case,) = of(DECLARED + BOUNDED + "(assert (<= (+ Y_0 0.1) (+ 0.2 0.1 1e-30)))").cases
    assert case.clauses[0].atoms[0].bound == Fraction("0.2") + Fraction(1, 10**30)


def test_nothing_asserted_of_outputs_is_a_clause_without_atoms():
    (case,) = of(DECLARED + BOUNDED).cases
    assert [clause.atoms for clause in case.clauses] == [()]
    assert case.clauses[0].holds(np.zeros(INPUTS), np.full(OUTPUTS, np.nan))


def test_contradictory_bounds_leave_no_case_and_a_warning():
    property = of(DECLARED + BOUNDED + "(assert (>= X_1 0.75)) (assert (<= X_1 0.5))")
    assert property.cases == ()
    assert "X_1 must be ≥ 0.75 and ≤ 0.5" in property.warnings[0]


def test_contradictory_outputs_leave_no_case_and_a_warning():
    property = of(DECLARED + BOUNDED + "(assert (>= Y_1 1)) (assert (<= Y_1 0))")
    assert property.cases == ()
    assert "contradict" in property.warnings[0]


@pytest.mark.parametrize(
    "conditions",
    [
        "(> Y_0 0.1) (<= Y_0 0.1)",
        "(> X_0 X_1) (<= X_0 X_1)",
        "(< (+ (* 0.3 Y_0) (* 0.1 X_0)) 0.7) (>= (+ (* 3 Y_0) X_0) 7)",
        "(= (* 3 X_2) 1) (> X_2 (/ 1 3))",
        "(>= X_0 0.1) (>= X_1 0.2) (< (+ X_0 X_1) 0.3)",
        "(>= X_0 0.1000000000000000000001) (<= X_0 0.1)",
    ],
)
def test_conditions_that_contradict_each_other_exactly_leave_no_case(conditions):
    assert of(DECLARED + BOUNDED + f"(assert (and {conditions}))").cases == ()
    for strict, closed in ((">", ">="), ("<", "<=")):
        conditions = conditions.replace(f"({strict} ", f"({closed} ")
    assert len(of(DECLARED + BOUNDED + f"(assert (and {conditions}))").cases) == (
        0 if "0001" in conditions else 1
    )


def test_conditions_that_decimals_meet_exactly_are_not_dropped():
    # 0.5 + 0.744·0.375 is 0.779; the float64 numbers nearest to these are not enough.
    text = DECLARED + "(assert (>= (+ 0.5 (* X_0 0.744)) 0.779)) (assert (<= X_0 0.375))"
    text += "(assert (and (>= X_1 0) (<= X_1 0) (>= X_2 0) (<= X_2 0)))"
    (case,) = of(text).cases
    assert case.region.lower[0] == case.region.upper[0] == 0.375
    assert case.clauses[0].holds([0.375, 0, 0], [0, 0])


def test_an_implication_holds_unless_its_last_part_alone_fails():
    (case,) = of(DECLARED + BOUNDED + "(assert (not (=> (>= X_0 0) (< Y_0 1) (<= Y_1 2))))").cases
    assert case.region.lower[0] == 0
    (clause,) = case.clauses
    assert [clause.holds([0, 0, 0], y) for y in ([0, 3], [0, 2], [1, 3])] == [True, False, False]


def test_quotients_by_constants_are_exact():
    (case,) = of(DECLARED + BOUNDED + "(assert (<= (/ Y_0 3 -0.5) (/ 1 7)))").cases
    (atom,) = case.clauses[0].atoms
    assert (atom.outputs, atom.bound) == (((0, Fraction(-2, 3)),), Fraction(1, 7))


def test_constants_may_be_declared_as_functions_without_arguments():
    text = DECLARED.replace("declare-const", "declare-fun").replace(" Real", " () Real") + BOUNDED
    assert of(text) is not None and len(of(text).cases) == 1


def test_names_with_several_indices_are_numbered_in_row_major_order():
    names = {f"X_{i}": f"X_{i // 2}_{i % 2}" for i in range(4)}
    declared = "".join(f"(declare-const {name} Real)" for name in (*names.values(), "Y_0_0"))
    text = declared + "".join(f"(assert (<= 0 {name} ))(assert (<= {name} {i}.5))"
                              for i, name in enumerate(names.values()))  # fmt: skip
    query = parse(text, Path("p.vnnlib"))
    assert [each.shape for each in query.variables] == [(2, 2), (1, 1)]
    assert [query.name(number) for number in (0, 2, -1)] == ["X_0_0", "X_1_0", "Y_0_0"]
    (case,) = of(text, (Port("x", (4,)),), (Port("y", (1,)),)).cases
    assert case.region.upper.tolist() == [0.5, 1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("X_0_0 X_1_0 X_0_1 X_1_1 Y_0", "row-major order"),
        ("X_0_0 X_0_1 X_1_1 Y_0", "X_1_0 is not declared"),
        ("X_0 X_0_1 Y_0", "some X_… have 2 indices"),
        ("X_0", "Y_0 is not declared"),
        ("X_0 X_99999999999999 Y_0", "X_1 is not declared"),
        ("X_0_0 X_99999999_99999999 Y_0", "X_0_1 is not declared"),
    ],
)
def test_names_that_make_no_tensor_are_refused(names, message):
    with pytest.raises(PropertyError, match=message):
        parse("".join(f"(declare-const {name} Real)" for name in names.split()), Path("p"))


def test_a_byte_order_mark_and_comments_in_any_encoding_are_read(tmp_path):
    text = (DECLARED + BOUNDED).encode()
    path = tmp_path / "p.vnnlib"
    for data in (b"\xef\xbb\xbf" + text, b"; Pr\xe4misse\n" + text, text + b";\xfc"):
        path.write_bytes(data)
        assert len(vnnlib.load(path, *PORTS).cases) == 1
    path.write_bytes(text + b"\xe4")
    with pytest.raises(ReadError, match="not a text file"):
        vnnlib.load(path, *PORTS)


@pytest.mark.parametrize(
    "number", ["1e-999999999", "1e-99999999999999999999999", "0." + "1" * 5000]
)
def test_numbers_of_very_many_digits_are_refused(number):
    with pytest.raises(PropertyError, match="more than 4000 digits"):
        of(DECLARED + BOUNDED + f"(assert (<= Y_0 {number}))")
    (case,) = of(DECLARED + BOUNDED + "(assert (<= Y_0 0e-999999999))").cases
    assert case.clauses[0].atoms[0].bound == 0


@pytest.mark.parametrize(
    "form",
    [
        f"(* Y_0 {'1e300 ' * 20_000})",
        f"(+ Y_0 {' '.join(f'(/ 1 {n})' for n in range(3, 150_000, 2))})",
        f"(/ Y_0 {'1e-300 ' * 20_000})",
    ],
)
def test_numbers_that_grow_without_end_are_refused(form):
    with pytest.raises(PropertyError, match="too far apart to be combined exactly"):
        of(DECLARED + BOUNDED + f"(assert (<= {form} 1))")


def test_formulas_may_nest_deeper_than_python_recurses():
    depth = 20_000
    formula = "(and " * depth + "(<= Y_0 0)" + ")" * depth
    (case,) = of(DECLARED + BOUNDED + f"(assert {formula})").cases
    assert len(case.clauses[0].atoms) == 1
    formula = "(not " * depth + "(<= Y_0 0)" + ")" * depth
    (case,) = of(DECLARED + BOUNDED + f"(assert {formula})").cases
    assert not case.clauses[0].atoms[0].strict


def test_disjunctions_with_contradictory_bounds_do_not_multiply():
    thirds = "(or (<= X_0 -0.5) (and (>= X_0 -0.25) (<= X_0 0.25)) (>= X_0 0.5))"
    property = of(DECLARED + BOUNDED + f"(assert {thirds})" * 40)
    assert [case.region.lower[0] for case in property.cases] == [-1, -0.25, 0.5]


def test_disjunctions_that_multiply_are_kept_as_choices():
    choice = "".join(f"(assert (or (<= Y_0 (* {k} Y_1)) (>= Y_0 {k})))" for k in range(2, 40))
    (case,) = of(DECLARED + BOUNDED + choice).cases
    assert [len(each.alternatives) for each in case.clauses[0].choices] == [2] * 38


def test_conjunctions_of_one_disjunction_that_multiply_are_refused():
    pairs = " ".join(f"(or (<= Y_0 (* {k} Y_1)) (>= Y_0 {k}))" for k in range(2, 402))
    others = " ".join(f"(or (>= Y_1 (* {k} Y_0)) (<= Y_0 {k}))" for k in range(2, 402))
    with pytest.raises(PropertyError, match="more than 100000 arise"):
        of(DECLARED + BOUNDED + f"(assert (or (and {pairs}) (and {others})))")


def test_a_hundred_thousand_assertions_are_read():
    count = 50_000
    lines = [f"(declare-const X_{i} Real)" for i in range(count)] + ["(declare-const Y_0 Real)"]
    for i in range(count):
        lines += [f"(assert (<= X_{i} {i}.5e-3))", f"(assert (>= X_{i} -{i}.25))"]
    (case,) = of("\n".join(lines), (Port("x", (count,)),), (Port("y", (1,)),)).cases
    assert case.region.upper[4321] == 4.3215
    assert case.region.lower[4321] == -4321.25


REFUSED = [
    ("(assert (<= X_7 1))", "p.vnnlib:3: 'X_7' is neither a declared variable"),
    ("(assert (<= Y_0 nan))", "p.vnnlib:3: 'nan' is neither"),
    ("(assert (<= Y_0 -Infinity))", "p.vnnlib:3: '-Infinity' is neither"),
    ("(assert (<= Y_0 1e999))", "p.vnnlib:3: 1e999 is beyond the range"),
    ("(assert (<= Y_0 1_000))", "p.vnnlib:3: '1_000' is neither"),
    ("(assert (<= Y_0 (sin X_0)))", "p.vnnlib:3: 'sin' begins no form"),
    ("(assert (<= Y_0 (and (<= Y_0 1))))", "p.vnnlib:3: expected a number or a variable"),
    ("(assert (and Y_0))", "p.vnnlib:3: 'and' takes formulas, met 'Y_0'"),
    ("(assert (not (<= Y_0 1) (<= Y_0 1)))", "p.vnnlib:3: 'not' takes 1 formula"),
    ("(assert (or))", "p.vnnlib:3: 'or' needs a formula"),
    ("(assert ())", r"p.vnnlib:3: \(\) begins no form"),
    ("()", r"p.vnnlib: \(\) is not a command"),
    ("(declare-fun X_3 (Real) Real)", "p.vnnlib:3: "),
    ("(declare-fun X_3 Real)", "p.vnnlib:3: expected \\(declare-fun X_0 \\(\\) Real\\)"),
    ("(assert (=> (<= Y_0 1)))", "p.vnnlib:3: '=>' takes 2 formulas or more, met 1"),
    ("(assert (<= (/ Y_0 0) 1))", "p.vnnlib:3: a quotient by 0"),
    ("(assert (<= (/ 1 Y_0) 1))", "p.vnnlib:3: a quotient by a variable"),
    ("(assert (<= (* 1e300 1e300 Y_0) Y_1))", "p.vnnlib: the coefficient of output 0 is beyond"),
    ("(assert (<= Y_0 (+)))", r"p.vnnlib:3: '\+' needs an operand"),
    ("(assert (<= Y_0 1)", "p.vnnlib:3: '\\(' is never closed"),
    ("(assert (<= Y_0 1)))", "p.vnnlib:3: '\\)' closes nothing"),
    ("(declare-const Y_0 Real)", "p.vnnlib:3: Y_0 is declared twice"),
    ("(declare-const Z_0 Real)", "p.vnnlib:3: expected \\(declare-const X_0 Real\\)"),
    ("(declare-network f)", "p.vnnlib:3: 'declare-network' is VNN-LIB 2.0"),
    ("Y_0", "p.vnnlib: 'Y_0' is not a command"),
    ("(<= Y_0 1)", "p.vnnlib: .* is not a command"),
    ("(declare-const X_5 Real)", "p.vnnlib: X_3 is not declared"),
]


@pytest.mark.parametrize(("line", "message"), REFUSED)
def test_what_is_outside_is_refused_with_its_line(line, message):
    one_line = DECLARED.replace("\n", " ") + "\n" + BOUNDED.replace("\n", " ") + "\n" + line
    with pytest.raises(PropertyError, match=message):
        of(one_line)


def test_an_unbounded_input_is_refused_by_name():
    text = DECLARED + BOUNDED.replace("(assert (<= X_1 1))", "")
    with pytest.raises(PropertyError, match="input X_1 has no upper bound"):
        of(text)


def test_a_property_of_another_size_is_refused():
    with pytest.raises(PropertyError, match=r"declares 3 inputs .* the network has 4"):
        of(DECLARED + BOUNDED, (Port("x", (1, 4)),))


def test_gzipped_files_are_read_and_damaged_ones_refused(tmp_path):
    packed = gzip.compress((DECLARED + BOUNDED).encode())
    good, cut, binary = (tmp_path / name for name in ("good.vnnlib.gz", "cut.gz", "b.vnnlib"))
    good.write_bytes(packed)
    cut.write_bytes(packed[: len(packed) // 2])
    binary.write_bytes(bytes([0xFF, 0xFE, 0x80]))
    assert len(vnnlib.load(good, *PORTS).cases) == 1
    for path in (cut, binary, tmp_path / "absent.vnnlib"):
        with pytest.raises(ReadError, match=path.name):
            vnnlib.load(path, *PORTS)


@pytest.mark.parametrize("seed", range(200))
def test_damaged_text_is_read_or_refused_and_nothing_else(seed):
    chance = random.Random(seed)
    text = list(DECLARED + BOUNDED + "(assert (or (and (<= Y_0 1) (> Y_1 2)) (not (= Y_0 0))))")
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(text))
        text[place] = chance.choice('()[]",;XY_0-+.eE<>= \n')
    try:
        property = of("".join(text))
    except PropertyError as error:
        assert "p.vnnlib" in str(error)
    else:
        assert property.inputs == INPUTS
