import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from boundmesh.errors import PropertyError
from boundmesh.property import Atom, Ball, Box, Case, Clause, Property

SCORES = arrays.arrays(np.float64, 4, elements=st.floats(-5, 5).map(lambda x: round(x, 1)))


@given(scores=SCORES, output=st.integers(0, 3))
def test_some_clause_holds_unless_the_output_is_greater_than_every_other(scores, output):
    (case,) = Property.largest(Box(np.zeros(2), np.ones(2)), output, 4).cases
    broken = any(
        all(sum(c * scores[j] for j, c in atom.outputs) <= atom.bound for atom in clause.atoms)
        for clause in case.clauses
    )
    assert broken == (np.delete(scores, output).max() >= scores[output])


@pytest.mark.parametrize(
    "region", [Box(np.zeros((1, 3)), np.ones((1, 3))), Ball(np.zeros(3), 1, 2)]
)
def test_a_property_counts_the_inputs_of_its_region(region):
    found = Property.largest(region, 0, 2)
    assert (found.inputs, found.outputs) == (3, 2)


def test_a_box_around_a_point_is_cut_to_its_clip():
    box = Box.around([0.0, 0.5, 1.0], 0.2, clip=(0, 1))
    np.testing.assert_allclose(box.lower, [0.0, 0.3, 0.8])
    np.testing.assert_allclose(box.upper, [0.2, 0.7, 1.0])
    assert not box.empty
    assert Box(box.upper, box.lower).empty


def test_an_atom_holds_in_exact_arithmetic():
    # The float64 numbers nearest to 0.1, 0.2 and 0.3 do not add up.
    atom = Atom(((0, Fraction("0.1")),), ((1, Fraction("0.2")),), Fraction("0.3"))
    assert atom.holds([1.0], [0.0, 1.0])
    assert not Atom(atom.inputs, atom.outputs, atom.bound, strict=True).holds([1.0], [0.0, 1.0])
    assert not Atom(((0, 0.1),), ((1, 0.2),), Fraction("0.3")).holds([1.0], [0.0, 1.0])
    assert atom.holds([Fraction(1)], [math.nan, Fraction(1)])
    assert not atom.holds([1.0], [0.0, math.nan])


def test_terms_are_kept_by_index_whatever_their_order_and_kind():
    atom = Atom([(np.int64(3), 1), (1, np.float32(0.5))], (), np.float64(2))
    assert atom == Atom(((1, Fraction(1, 2)), (3, Fraction(1))), (), Fraction(2))
    assert hash(atom) == hash(Atom(((1, 0.5), (3, 1.0)), [], 2.0))


UNIT = Box([0, 0], [1, 1])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Atom(((0, math.nan),), (), 0), "coefficient of input 0 is nan"),
        (lambda: Atom((), ((0, 1),), math.inf), "bound is inf"),
        (lambda: Atom((), ((-1, 1),), 0), "output has the index -1"),
        (lambda: Atom((), ((0.5, 1),), 0), "output has the index 0.5"),
        (lambda: Atom((), ((0, 1), (0, 2)), 0), "output 0 twice"),
        (lambda: Atom((), (0, 1), 0), "expected pairs"),
        (lambda: Atom((), 3, 0), "expected pairs"),
        (lambda: Clause((1,)), "clause's atoms hold 1; expected Atom only"),
        (lambda: Clause(Atom((), (), 0)), "expected a tuple of Atom"),
        (lambda: Case((0, 1), ()), "expected a Box or a Ball"),
        (lambda: Case(UNIT, (Atom((), (), 0),)), "expected Clause only"),
        (lambda: Property(3, 1, 1), "expected a tuple of Case"),
        (lambda: Property((), -1, 1), "number of inputs is -1"),
        (lambda: Property((Case(UNIT, ()),), 3, 1), "case 0 has 2 inputs, the property 3"),
        (
            lambda: Property((Case(UNIT, (Clause((Atom((), ((4, 1),), 0),)),)),), 2, 4),
            "output 4; the property has 4",
        ),
        (lambda: Property.largest(UNIT, 4, 4), "output 4 of 4"),
        (lambda: Property.largest(UNIT, -1, 4), "output -1 of 4"),
        (lambda: Property.largest([0, 1], 1, 4), "expected a Box or a Ball"),
    ],
)
def test_what_is_no_property_is_refused(build, message):
    with pytest.raises(PropertyError, match=message):
        build()


def test_lists_serve_as_well_as_tuples():
    clause = Clause([Atom([], [(0, 1)], 0)])
    assert Property([Case(UNIT, [clause])], 2, 1).cases[0].clauses == (clause,)
