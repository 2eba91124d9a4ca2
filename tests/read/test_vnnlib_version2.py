"""VNN-LIB 2.0: named networks, typed tensors, indices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boundmesh.errors import PropertyError
from boundmesh.graph.graph import Port
from boundmesh.property import Property
from boundmesh.read import vnnlib
from boundmesh.read.query import parse

HEADER = "(vnnlib-version <2.0>)\n"
NETWORK = """(declare-network acc
  (declare-input A Real [1,2,3])
  (declare-input B Real [])
  (declare-output C Real [2])  ; two
  (declare-output D Real [1,1]))
"""
INPUTS = (Port("a", (1, 2, 3)), Port("b", ()))
OUTPUTS = (Port("c", (2,)), Port("d", (1, 1)))
CELLS = [f"A[0,{i},{j}]" for i in range(2) for j in range(3)]
BOUNDED = "".join(f"(assert (and (<= {cell} 1) (>= {cell} 0)))\n" for cell in [*CELLS, "B"])


def of(text: str, inputs=INPUTS, outputs=OUTPUTS) -> Property:
    return vnnlib.fit(parse(text, Path("p.vnnlib")), inputs, outputs)


def test_indices_are_row_major_and_tensors_follow_each_other():
    text = HEADER + NETWORK + BOUNDED + "(assert (<= A [0, 1,2] .5)) (assert (>= B[] 0.25))"
    (case,) = of(text + "(assert (<= (+ C[1] D[0,0]) (* 2 A[0,0,1])))").cases
    assert case.region.upper.tolist() == [1, 1, 1, 1, 1, 0.5, 1]
    assert case.region.lower[6] == 0.25
    (atom,) = case.clauses[0].atoms
    assert (atom.inputs, atom.outputs) == (((1, -2.0),), ((1, 1.0), (2, 1.0)))


def test_all_six_comparisons_are_read():
    text = HEADER + NETWORK + BOUNDED
    for sign in ("<=", "<", ">=", ">", "=="):
        (case,) = of(text + f"(assert ({sign} C[0] C[1]))").cases
        equal, less = np.array([1.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0])
        x = np.zeros(7)
        assert case.clauses[0].holds(x, equal) == ("=" in sign)
        assert case.clauses[0].holds(x, less) == ("<" in sign)
    (case,) = of(text + "(assert (!= C[0] C[1]))").cases
    assert [clause.holds(x, less) for clause in case.clauses] == [True, False]
    assert not any(clause.holds(x, equal) for clause in case.clauses)


def test_tensors_named_by_the_network_may_come_in_any_order():
    text = HEADER + (
        '(declare-network f (declare-input B Real [] "b") (declare-input A Real [1,2,3] "a")'
        ' (declare-output D Real [1,1] "d") (declare-output C Real [2] "c"))'
    )
    text += BOUNDED + "(assert (<= B 0.5)) (assert (<= (- C[1] D[0,0]) A[0,1,2]))"
    property = of(text)
    (case,) = property.cases
    assert case.region.upper.tolist() == [1, 1, 1, 1, 1, 1, 0.5]
    (atom,) = case.clauses[0].atoms
    assert (atom.inputs, atom.outputs) == (((5, -1.0),), ((1, 1.0), (2, -1.0)))
    assert [(each.name, each.offset) for each in property.variables] == [
        ("B", 6),
        ("A", 0),
        ("D", 2),
        ("C", 0),
    ]


def test_element_types_choose_the_arithmetics():
    text = (HEADER + NETWORK + BOUNDED).replace("A Real", "A float32")
    assert of(text).arithmetics == {"real", "float32"}
    assert of(HEADER + NETWORK + BOUNDED).arithmetics == {"real"}
    with pytest.raises(PropertyError, match="declared float64, the network's 'a' is float32"):
        of(text.replace("float32", "float64"))


def test_the_header_may_be_absent_and_lowercase_real_is_real():
    assert len(of((NETWORK + BOUNDED).replace("Real", "real")).cases) == 1


def test_an_error_calls_an_element_by_its_name():
    text = HEADER + NETWORK + BOUNDED.replace("(<= A[0,1,2] 1)", "(<= A[0,1,1] 1)")
    with pytest.raises(PropertyError, match=r"input A\[0,1,2\] has no upper bound"):
        of(text)


REFUSED = [
    ("(assert (<= A[0,2,0] 1))", r"p.vnnlib:8: 'A\[0,2,0\]' is no element of A\[1, 2, 3\]"),
    ("(assert (<= A[0,1] 1))", "p.vnnlib:8: .* is no element"),
    ("(assert (<= A 1))", "p.vnnlib:8: .* is no element"),
    ("(assert (<= A[0,-1,0] 1))", "p.vnnlib:8: .* is neither"),
    ("(assert (<= A[0 1 0] 1))", "p.vnnlib:8: .* is not a list of integers"),
    ("(assert (<= E[0] 1))", "p.vnnlib:8: .* is neither a declared variable"),
    (NETWORK.replace("A", "E").replace("B", "F"), "p.vnnlib:11: C is declared twice"),
    ("(declare-network g (equal-to acc))", "p.vnnlib:8: network g must declare inputs"),
    ("(declare-network g (equal-to f))", "p.vnnlib:8: 'f' is no network that is declared before"),
    ("(declare-network g (isomorphic-to))", r"p.vnnlib:8: expected \(isomorphic-to NAME"),
    ("(declare-network acc)", "p.vnnlib:8: acc is declared twice"),
    ("(vnnlib-version <2.0>)", "p.vnnlib:8: the version must come first"),
    ("(declare-const X_0 Real)", "p.vnnlib:8: 'declare-const' is VNN-LIB 1.0"),
    ("(declare-input G Real [1])", "p.vnnlib: the declaration of G is not a command"),
]


@pytest.mark.parametrize(("line", "message"), REFUSED)
def test_what_is_outside_is_refused_with_its_line(line, message):
    text = HEADER + NETWORK + BOUNDED.replace("\n", " ") + "\n" + line
    with pytest.raises(PropertyError, match=message):
        of(text)


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("(declare-hidden H Real [1]) (declare-output C Real [1])", "hidden H needs the ONNX name"),
        ('(declare-output C Real [1]) (declare-hidden H Real [1] "h")', "inputs, then outputs"),
        ("(declare-output C complex64 [1])", "element type 'complex64' is not supported"),
        ("(declare-output C Real)", "expected \\(declare-output NAME TYPE \\[SHAPE\\]"),
        ("(declare-output C Real [0])", "C has no elements"),
        ("(declare-output C[1] Real [1])", "expected"),
        ("", "must declare inputs, then outputs"),
        ("(declare-output C Real [1]) (declare-input Z Real [1])", "inputs, then outputs"),
    ],
)
def test_a_malformed_network_is_refused(declaration, message):
    text = f"{HEADER}(declare-network f (declare-input A Real [1]) {declaration})"
    with pytest.raises(PropertyError, match="p.vnnlib:2: .*" + message):
        parse(text, Path("p.vnnlib"))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((Port("a", (1, 3, 2)), Port("b", ())), r"A is declared \[1, 2, 3\], .* is \[1, 3, 2\]"),
        ((Port("a", (1, 2, 3)),), "declares 2 input tensors, the network has 1"),
    ],
)
def test_tensors_that_do_not_fit_the_network_are_refused(inputs, message):
    with pytest.raises(PropertyError, match=message):
        of(HEADER + NETWORK + BOUNDED, inputs)


def test_axes_of_length_one_may_be_left_out():
    assert len(of(HEADER + NETWORK + BOUNDED, (Port("a", (2, 3, 1)), Port("b", (1,)))).cases) == 1


def test_another_version_is_refused():
    with pytest.raises(PropertyError, match=r"p.vnnlib:1: expected version <2.0>"):
        parse("(vnnlib-version <3.0>)", Path("p.vnnlib"))
