"""What results, networks and properties print is short, and never holds their numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import boundmesh
from boundmesh import Atom, Ball, Box, Case, Clause, Property

torch.manual_seed(0)
MODULE = nn.Sequential(nn.Flatten(), nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 3)).eval()
X = torch.zeros(1, 3, 10, 10)
LABEL = int(MODULE(X).argmax())


def stays(eps: float) -> Property:
    return Property.largest(Box.around(X, eps), LABEL, 3)


def results() -> list[object]:
    proved, refuted = (boundmesh.verify(MODULE, stays(eps), timeout=20) for eps in (1e-4, 9.0))
    bounds = boundmesh.bounds(MODULE, Box.around(X, 0.1), method="crown", lines=True)
    certified = boundmesh.certify(MODULE, X, eps=1e-4)
    wide = Atom([(i, 0.1 * i) for i in range(300)], [(0, 1)], 2)
    return [
        *(proved, refuted, proved.graph, proved.property, refuted.verdict, bounds, bounds.below),
        *(bounds.intermediate, proved.property.cases[0], Case(Ball(X, 2, 1), ()), Ball(X, 2, 2)),
        *(wide, Clause([wide] * 50), certified, certified[0], Box.around(X, 0.1)),
    ]


def test_every_result_prints_in_few_words() -> None:
    for each in results():
        assert len(repr(each)) < 400, repr(each)
        assert "array(" not in repr(each) and "tensor(" not in repr(each)


def test_a_result_holds_what_was_proved_as_numpy() -> None:
    proved = boundmesh.verify(MODULE, stays(1e-4), timeout=20)
    assert proved.proved and proved.counterexample is None
    assert proved.margins.shape == (1, 2) and (proved.margins > 0).all()
    assert repr(proved).startswith("Result(unsat")


def test_a_counterexample_has_the_shape_of_the_input_and_another_class() -> None:
    refuted = boundmesh.verify(MODULE, stays(9.0), timeout=20)
    point = refuted.counterexample
    assert point is not None and point.shape == (1, 3, 10, 10) and not refuted.proved
    with torch.no_grad():
        scores = MODULE(torch.from_numpy(point).float())[0]
    assert int(scores.argmax()) != LABEL or scores.topk(2).values.diff().abs() < 1e-5


def test_margins_of_cases_without_inputs_or_bounds_are_infinite() -> None:
    clauses = stays(1e-4).cases[0].clauses
    empty, full = Case(Box([1.0], [0.0]), clauses[:1]), Case(Box([0.0], [1.0]), clauses)
    net = nn.Linear(1, 3)
    found = boundmesh.verify(
        boundmesh.from_torch(net, [[0.0]]), Property((empty, full), 1, 3), timeout=20
    )
    assert found.margins.shape == (2, 2) and np.isposinf(found.margins[0]).all()


@pytest.mark.parametrize(
    ("atom", "text"),
    [
        (Atom([], [(0, -1), (2, 1)], 0), "Atom(-y[0] +y[2] ≤ 0)"),
        (Atom([(1, 0.5)], [(0, 1)], 2.5, strict=True), "Atom(+0.5·x[1] +y[0] < 2.5)"),
        (Atom([], [], 1), "Atom(0 ≤ 1)"),
    ],
)
def test_an_atom_prints_as_the_inequality_that_it_is(atom: Atom, text: str) -> None:
    assert repr(atom) == text
