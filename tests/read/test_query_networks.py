"""Queries over several networks, products of variables and hidden values, of small networks."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from boundmesh import models
from boundmesh.api import verify
from boundmesh.attack.replay import Replay
from boundmesh.errors import PropertyError, ReadError
from boundmesh.graph.graph import Graph
from boundmesh.property import Atom, Box, Property
from boundmesh.read import vnnlib
from boundmesh.read.networks import graphs_of
from boundmesh.read.query import parse
from boundmesh.report.assignment import assignment
from boundmesh.verdict import Falsified, Verified
from tests.attack.networks import affine

HEAD = "(vnnlib-version <2.0>)\n"
F = "(declare-network f (declare-input X real [1,2]) (declare-output Y real [1,1]))\n"
G = "(declare-network g {} (declare-input U real [1,2]) (declare-output V real [1,1]))\n"
BOX = "".join(f"(assert (>= {v}[0,{i}] -1))(assert (<= {v}[0,{i}] 1))" for v in "X" for i in "01")
BOX_U = BOX.replace("X", "U")

# |x₀ − x₁| and x₀ + 2·x₁ + 1/2
DISTANCE = affine(([[1, -1], [-1, 1]], [0, 0]), ([[1, 1]], [0]))
SUM = affine(([[1, 2]], [0.5]))


def instance(text: str, graphs: Mapping[str | None, Graph]) -> tuple[Graph, Property]:
    query = parse(HEAD + text, Path("p.vnnlib"))
    return vnnlib.join(query, graphs_of(query, graphs, models.load))


def decided(text: str, graphs: Mapping[str | None, Graph]) -> object:
    return verify(*instance(text, graphs), device="cpu", timeout=60).verdict


def test_inputs_of_different_networks_are_independent():
    graph, property = instance(F + G.format("") + BOX + BOX_U, {"f": DISTANCE, "g": SUM})
    x = np.array([0.25, -0.5, 1.0, 0.5])
    found = Replay(graph)(property, 0, x)
    assert found is not None and found.output.tolist() == [0.75, 2.5]
    text = assignment(found, property).split("\n")
    assert [line for line in text if " " in line] == [
        "X real [1,2]".replace("real", "Real"), "Y Real [1,1]", "U Real [1,2]", "V Real [1,1]",
    ]  # fmt: skip
    assert [float(line) for line in text if line and " " not in line] == [
        0.25, -0.5, 0.75, 1.0, 0.5, 2.5,
    ]  # fmt: skip


def test_inputs_tied_by_equality_are_one_input():
    ties = "(assert (== X[0,0] U[0,0])) (assert (and (== U[0,1] X[0,1])))"
    graph, property = instance(F + G.format("") + BOX + ties, {"f": DISTANCE, "g": SUM})
    assert property.inputs == 2 and graph[graph.input].size == 2
    found = Replay(graph)(property, 0, np.array([0.25, -0.5]))
    assert found is not None and found.output.tolist() == [0.75, -0.25]
    assert assignment(found, property).count("0.25\n-0.5\n") == 2


def test_an_equality_inside_a_disjunction_ties_nothing():
    tie = "(assert (or (== X[0,0] U[0,0]) (<= Y[0,0] 0)))"
    _, property = instance(F + G.format("") + BOX + BOX_U + tie, {"f": DISTANCE, "g": SUM})
    assert property.inputs == 4


def test_one_input_that_equals_another_one_of_the_same_network_is_not_searched():
    tie = "(assert (== X[0,0] X[0,1])) (assert (> Y[0,0] 0.001))"
    assert isinstance(decided(F + BOX + tie, {"f": DISTANCE}), Verified)


def test_a_network_equal_to_another_needs_no_file_and_takes_the_same_one():
    text = F + G.format("(equal-to f)") + BOX + "(assert (== X[0,0] U[0,0]))"
    text += "(assert (== X[0,1] U[0,1])) (assert (> Y[0,0] (+ V[0,0] 0.001)))"
    for graphs in ({None: SUM}, {"f": SUM}, {"f": SUM, "g": SUM}):
        assert isinstance(decided(text, graphs), Verified)
    with pytest.raises(PropertyError, match="g is equal to f, and two networks are given"):
        instance(text, {"f": SUM, "g": DISTANCE})
    assert isinstance(decided(F + G.format("(equal-to f)") + BOX + BOX_U, {None: SUM}), Falsified)


def test_networks_that_are_missing_unknown_or_of_other_shapes_are_refused():
    text = F + G.format("(isomorphic-to f)") + BOX + BOX_U
    with pytest.raises(PropertyError, match="declares 2 networks; give --network g=FILE as well"):
        instance(text, {None: SUM})
    with pytest.raises(PropertyError, match="--network names 'h'"):
        instance(text, {"h": SUM})
    other = affine(([[1, 2, 3]], [0.5]))
    with pytest.raises(PropertyError, match="g is isomorphic-to f, but their shapes differ"):
        instance(text, {"f": SUM, "g": other})


def test_products_become_outputs_and_are_checked_exactly():
    text = F + BOX + "(assert (>= (* (+ X[0,0] 0.1) Y[0,0] 3) (* X[0,1] X[0,1])))"
    graph, property = instance(text, {None: SUM})
    assert [len(property.products), property.outputs] == [2, 3]
    assert graph[graph.output].size == 3
    (atom,) = property.cases[0].clauses[0].atoms
    x, y = np.array([0.5, 0.25]), np.array([1.5])
    values = property.outputs_at(x, y)
    first, second = atom.outputs
    total = first[1] * values[first[0]] + second[1] * values[second[0]]
    assert total == Fraction(1, 16) - (Fraction(1, 2) + Fraction(1, 10)) * Fraction(3, 2) * 3


def test_products_are_bounded_and_refuted():
    never = "(assert (> (* X[0,0] X[0,0]) 1.001))"
    assert isinstance(decided(F + BOX + never, {None: SUM}), Verified)
    often = "(assert (> (* X[0,0] X[0,1] Y[0,0]) 0.9))"
    assert isinstance(decided(F + BOX + often, {None: SUM}), Falsified)
    cube = "(assert (< (* X[0,0] X[0,0] X[0,0]) -1.01))"
    assert isinstance(decided(F + BOX + cube, {None: SUM}), Verified)


def test_a_product_with_a_fixed_factor_is_linear():
    text = F + BOX + "(assert (== X[0,1] 0.5)) (assert (>= (* X[0,0] X[0,1]) 0.25))"
    _, property = instance(text, {None: SUM})
    assert property.cases[0].clauses[0].atoms == (Atom(((0, -0.5),), (), -0.25),)


def test_a_product_with_a_positive_factor_is_divided_by_it():
    text = F + BOX + "(assert (> X[0,0] 0)) (assert (<= (* X[0,0] Y[0,0]) 0)) (assert (> Y[0,0] 0))"
    assert isinstance(decided(text, {None: SUM}), Verified)


def test_a_hidden_value_is_one_more_output():
    text = (
        '(declare-network f (declare-input X real [1,2]) (declare-hidden H real [1,2] "relu1")'
        " (declare-output Y real [1,1]))\n" + BOX
    )
    graph, property = instance(text, {None: DISTANCE})
    found = Replay(graph)(property, 0, np.array([0.25, -0.5]))
    assert found is not None and found.output.tolist() == [0.75, 0.75, 0.0]
    assert assignment(found, property).endswith("H Real [1,2]\n0.75\n0.0\nY Real [1,1]\n0.75\n")
    both = "(assert (> H[0,0] 0.01)) (assert (> H[0,1] 0.01))"
    assert isinstance(decided(text + both, {None: DISTANCE}), Verified)
    with pytest.raises(ReadError, match="no value 'relu2', which the property declares hidden"):
        instance(text.replace("relu1", "relu2"), {None: DISTANCE})


def test_the_python_interface_takes_networks_by_name(tmp_path: Path):
    spec = tmp_path / "twins.vnnlib"
    spec.write_text(HEAD + F + G.format("") + BOX + BOX_U + "(assert (> (- Y[0,0] V[0,0]) 4.6))")
    result = verify({"f": DISTANCE, "g": SUM}, spec, device="cpu")
    assert isinstance(result.verdict, Verified)
    region = result.property.cases[0].region
    assert isinstance(region, Box) and region.size == 4
