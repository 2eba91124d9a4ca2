"""What SMT-LIB allows is read, departures from the standard are told, and errors show the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from boundmesh.errors import PropertyError
from boundmesh.graph.graph import Port
from boundmesh.property import Property
from boundmesh.read import vnnlib
from boundmesh.read.query import parse

ONE = "(declare-const X_0 Real)\n(declare-const X_1 Real)\n(declare-const Y_0 Real)\n"
ONE += "".join(f"(assert (>= X_{i} -2))\n(assert (<= X_{i} 2))\n" for i in range(2))
TWO = """(vnnlib-version <2.0>)
(declare-network f (declare-input X real [2]) (declare-output Y real [1]))
(assert (and (>= X[0] -2) (<= X[0] 2) (>= X[1] -2) (<= X[1] 2)))
"""
PORTS = (Port("x", (2,)),), (Port("y", (1,)),)


def of(text: str, strict: bool = False) -> Property:
    return vnnlib.fit(parse(text, Path("p.vnnlib"), strict), *PORTS)


EQUAL = [
    ("(assert (<= -1 X_0 X_1 1))",
     "(assert (<= -1 X_0)) (assert (<= X_0 X_1)) (assert (<= X_1 1))"),
    ("(assert (distinct X_0 X_1))", "(assert (!= X_0 X_1))"),
    ("(assert true)", ""),
    ("(assert (or false (<= Y_0 1)))", "(assert (<= Y_0 1))"),
    ("(assert (=> true (<= Y_0 1)))", "(assert (<= Y_0 1))"),
    ("(assert (let ((a (+ X_0 1)) (b 3)) (<= a b)))", "(assert (<= (+ X_0 1) 3))"),
    ("(assert (let ((c (<= X_0 1))) (and c (=> c (<= Y_0 1)))))",
     "(assert (and (<= X_0 1) (=> (<= X_0 1) (<= Y_0 1))))"),
    # The value of b is the outer a.
    ("(assert (let ((a X_0)) (let ((a 1) (b a)) (<= (+ a b) Y_0))))",
     "(assert (<= (+ 1 X_0) Y_0))"),
    ("(assert (= X_0 X_1 Y_0))", "(assert (= X_0 X_1)) (assert (= X_1 Y_0))"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "plain"), EQUAL)
def test_forms_of_smt_lib_mean_the_same_as_plain_ones(text, plain):
    met, meant = of(ONE + text).cases, of(ONE + plain).cases
    assert [case.clauses for case in met] == [case.clauses for case in meant]
    assert [case.region.lower.tolist() for case in met] == [
        case.region.lower.tolist() for case in meant
    ]


def test_false_leaves_no_case():
    assert of(ONE + "(assert false)").cases == ()


@pytest.mark.parametrize("command", ["check-sat", "exit"])
def test_an_assertion_that_smt_lib_would_not_check_is_refused(command: str) -> None:
    of(ONE + f"({command})")
    with pytest.raises(PropertyError, match=rf"an assertion after \({command}\)"):
        of(ONE + f"({command}) (assert (<= Y_0 0))")


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_lines_may_end_as_on_other_systems(tmp_path: Path, end: str):
    file = tmp_path / "p.vnnlib"
    text = "; a comment\n" + ONE + "(assert (<= Y_0 1)) ; more\n(assert (<= (foo) 1))\n"
    file.write_bytes(text.replace("\n", end).encode())
    with pytest.raises(PropertyError, match=r"p.vnnlib:10: 'foo' begins no form"):
        vnnlib.read(file)


DEPARTURES = [
    ("(assert (not (<= Y[0] 1)))", "'not'"),
    ("(assert (<= Y[0] 1e-3))", "numbers with an exponent, as '1e-3'"),
    ("(assert (= Y[0] 1))", "'='"),
    ("(assert (<= 0 Y[0] 1))", "comparisons of several values"),
    ("(set-logic QF_LRA)", "the command 'set-logic'"),
]


@pytest.mark.parametrize(("text", "what"), DEPARTURES)
def test_what_the_standard_lacks_is_a_warning_and_strictly_an_error(text, what):
    assert what in of(TWO + text).warnings[0]
    with pytest.raises(PropertyError, match=r"VNN-LIB 2\.0 does not have"):
        of(TWO + text, strict=True)
    assert of(TWO, strict=True).warnings == ()


def test_a_missing_header_is_a_warning_and_strictly_an_error():
    assert "without (vnnlib-version <2.0>)" in of(TWO.split("\n", 1)[1]).warnings[0]
    with pytest.raises(PropertyError, match="without"):
        of(TWO.split("\n", 1)[1], strict=True)


def test_version_1_is_not_measured_by_version_2():
    assert of(ONE + "(assert (not (<= Y_0 1e-3)))", strict=True).warnings == ()


def test_different_element_types_are_not_compared():
    text = TWO.replace("Y real", "Y float32")
    assert len(of(text + "(assert (<= Y[0] 1))").cases) == 1
    with pytest.raises(PropertyError, match="values of the types Real and float32 are compared"):
        of(text + "(assert (<= Y[0] X[0]))")


@pytest.mark.parametrize(
    ("text", "line", "caret", "message"),
    [
        ("(assert (<= Y_7 1))", "(assert (<= Y_7 1))", "Y_7", "p.vnnlib:8: 'Y_7' is neither"),
        ("(assert\n  (fo 1))", "(assert", "(assert", "p.vnnlib:8: 'fo' begins no form"),
        ("(assert (asert Y_0 1 2))", "(assert (asert Y_0 1 2))", "asert Y", "mean 'assert'"),
        ("(assert (<= Y_0 1)))", "(assert (<= Y_0 1)))", ")", "p.vnnlib:8: '\\)' closes nothing"),
        ("(assert (<= Y_0", "(assert (<= Y_0", "(<= Y_0", "p.vnnlib:8: '\\(' is never closed"),
    ],
)
def test_an_error_shows_its_line_with_a_caret(text, line, caret, message):
    with pytest.raises(PropertyError, match=message) as error:
        of(ONE + text)
    shown, mark = error.value.excerpt.split("\n")
    if "fo " in text:
        assert shown.strip() == "(fo 1))" and shown[mark.index("^")] == "f"
        return
    assert shown == f"  {line}"
    place = mark.index("^")
    assert shown[place:].startswith(caret) and (caret != ")" or place == len(shown) - 1)
