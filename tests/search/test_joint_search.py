"""Regions of few inputs that are split together get the answers that each gets alone."""

from __future__ import annotations

import numpy as np
import pytest

from boundmesh.api import verify
from boundmesh.property import Atom, Box, Case, Clause, Property
from boundmesh.verdict import Falsified, Verified
from tests.attack.networks import random_mlp

OPTIONS = {"device": "cpu", "timeout": 5.0, "restarts": 0}


def many(bound: float, width: float, count: int = 8) -> Property:
    lower = np.random.default_rng(0).uniform(-1, 1 - width, (count, 2))
    clauses = (Clause((Atom((), ((0, 1.0),), bound),)), Clause((Atom((), ((0, -1.0),), bound),)))
    return Property(tuple(Case(Box(low, low + width), clauses) for low in lower), 2, 2)


@pytest.mark.parametrize("bound", [-3.0, -0.6])
def test_regions_split_together_are_decided_as_each_alone(bound: float) -> None:
    graph, whole = random_mlp(2, 10, 10, 2, seed=3), many(bound, 0.3)
    together = verify(graph, whole, **OPTIONS)
    alone = [verify(graph, Property((case,), 2, 2), **OPTIONS).verdict for case in whole.cases]
    assert all(isinstance(each, Falsified | Verified) for each in alone)
    assert isinstance(together.verdict, Verified) == all(isinstance(v, Verified) for v in alone)
    if isinstance(together.verdict, Falsified):
        assert isinstance(alone[together.verdict.counterexample.case], Falsified)
    else:
        assert (together.margins > 0).all()
