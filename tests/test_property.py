import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from boundmesh.property import Ball, Box, Property

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
