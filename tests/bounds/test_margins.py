"""What becomes of exact coefficients and bounds in floating point is on the safe side."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from boundmesh.proof.margin_rows import margins_of
from boundmesh.proof.margins import Margins
from boundmesh.property import Atom, Clause
from tests.networks import mlp

GRAPH = mlp(2, 4, 3)
CPU = torch.device("cpu")
numbers = st.one_of(
    st.decimals(-50, 50, places=3).map(Fraction),
    st.fractions(-5, 5),
    st.floats(-1e6, 1e6).map(Fraction),
    st.integers(-9, 9).map(Fraction),
)
terms = st.lists(numbers, min_size=1, max_size=3).map(lambda each: tuple(enumerate(each)))
atoms = st.builds(Atom, st.just(()) | terms.map(lambda each: each[:2]), terms, numbers)


def margins(*atoms: Atom) -> Margins:
    return margins_of(GRAPH, [Clause((atom,)) for atom in atoms])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(st.lists(atoms, min_size=1, max_size=4, unique=True))
def test_deviations_bound_what_every_coefficient_lost(dtype, chosen):
    found = margins(*chosen)
    which = torch.arange(len(chosen))
    rows = found.rows(which, dtype, CPU)
    lost = found.deviations(which, dtype, CPU)
    assert lost is None or (lost.shape == rows.shape and lost.dtype == dtype)
    rows, lost = rows.flatten(2), None if lost is None else lost.flatten(2)
    joined = rows.shape[2] > 3
    for number, atom in enumerate(chosen):
        exact = [Fraction(0)] * rows.shape[2]
        for place, value in atom.inputs:
            exact[place] = value
        for place, value in atom.outputs:
            exact[2 * joined + place] = value
        for place, value in enumerate(exact):
            difference = abs(value - Fraction(rows[0, number, place].item()))
            most = Fraction(0 if lost is None else lost[0, number, place].item())
            assert difference <= most
            assert most <= difference * Fraction(1001, 1000) + Fraction(1, 2**140)


@given(atoms)
def test_what_exceeds_the_bound_of_a_row_exceeds_that_of_its_atom(atom):
    bound = Fraction(margins(atom).bound.item())
    assert atom.bound <= bound <= atom.bound + abs(atom.bound) / 2**52


def test_exact_coefficients_have_no_deviations():
    exact = Atom((), ((0, 0.5), (1, -1)), Fraction("0.1"))
    half = Atom((), ((0, 0.1),), 0)
    which = torch.tensor([0])
    assert margins(exact).deviation is None
    assert margins(exact, half).deviations(which, torch.float32, CPU) is None
    assert margins(exact, half).deviations(which + 1, torch.float64, CPU) is None
    assert margins(exact, half).deviations(which + 1, torch.float32, CPU) is not None


def test_a_clause_without_atoms_is_never_refuted():
    row = Atom((), ((0, 1),), 0)
    for clauses in ([Clause(())], [Clause(()), Clause((row,))], [Clause((row,)), Clause(())]):
        found = margins_of(GRAPH, clauses)
        best = found.clauses(torch.full((2, len(found.bound)), 7.0))
        empty = torch.tensor([not clause.atoms for clause in clauses])
        assert (best[:, empty] == -torch.inf).all() and (best[:, ~empty] == 7).all()
