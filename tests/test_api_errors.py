"""The Python API refuses what it cannot use, and says what it met, expected, and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper
from torch import nn

import boundmesh
from boundmesh import Atom, Ball, BoundmeshError, Box, Case, Clause, Property
from boundmesh.read.onnx import loads
from tests.fuzzed import model, models

GRAPH = loads(models()[0])
"""x `[1, 2]` → y `[1, 2]`."""
SQUARE = Box(np.zeros((1, 2)), np.ones((1, 2)))
PROPERTY = Property((Case(SQUARE, (Clause((Atom((), ((0, 1.0),), -9.0),)),)),), 2, 2)


@pytest.mark.parametrize("given", [None, 3, b"bytes", [GRAPH], PROPERTY, np.zeros(2)], ids=repr)
def test_what_is_no_model_is_refused(given: Any) -> None:
    for call in (boundmesh.verify, boundmesh.bounds):
        other = PROPERTY if call is boundmesh.verify else SQUARE
        with pytest.raises(BoundmeshError, match=r"the model is .*expected an ONNX file"):
            call(given, other)
    if given is not None:
        with pytest.raises(BoundmeshError, match="expected the name of an ONNX file"):
            boundmesh.load(given)


@pytest.mark.parametrize("given", [None, 3, [], SQUARE, {"cases": 1}], ids=repr)
def test_what_is_no_property_is_refused(given: Any) -> None:
    with pytest.raises(BoundmeshError, match=r"the property is .*expected a VNN-LIB file"):
        boundmesh.verify(GRAPH, given)


def test_network_and_property_in_each_others_place_are_told() -> None:
    with pytest.raises(BoundmeshError, match="give the network first"):
        boundmesh.verify(PROPERTY, GRAPH)


@pytest.mark.parametrize("given", [None, (0, 1), np.zeros(2), "box", PROPERTY], ids=repr)
def test_what_is_no_region_is_refused(given: Any) -> None:
    with pytest.raises(BoundmeshError, match=r"the region is .*expected boundmesh\.Box"):
        boundmesh.bounds(GRAPH, given)


def test_a_region_of_another_size_is_refused() -> None:
    for region in (Box(np.zeros(3), np.ones(3)), Ball(np.zeros(1), 1.0, 2.0)):
        with pytest.raises(BoundmeshError, match="the network has 2"):
            boundmesh.bounds(GRAPH, region)


@pytest.mark.parametrize(
    "rows", [[[1, -1]], [1, -1], ((1.0, -1.0),), np.array([[1, -1]]), torch.tensor([1.0, -1.0])]
)
def test_rows_are_arrays_tensors_and_lists(rows: Any) -> None:
    found = boundmesh.bounds(GRAPH, SQUARE, rows=rows, method="crown")
    assert found.lower.shape == (1,)
    known = boundmesh.bounds(GRAPH, SQUARE, rows=np.array([[1.0, -1.0]]), method="crown")
    assert found.lower == known.lower and found.upper == known.upper


@pytest.mark.parametrize(
    "rows",
    [[[1, 2, 3]], [[1], [1, 2]], "text", [["a", "b"]], [[np.nan, 1]], {}, 3, [1j, 0], np.zeros(4)],
    ids=repr,
)
def test_rows_that_do_not_fit_are_refused(rows: Any) -> None:
    with pytest.raises(BoundmeshError, match=r"rows .*expected S rows of 2 numbers"):
        boundmesh.bounds(GRAPH, SQUARE, rows=rows)


@pytest.mark.parametrize(
    "option",
    [
        {"method": "magic"},
        {"method": None},
        {"method": "auto"},
        {"lines": "both"},
        {"progress": "loud"},
        {"settings": {}},
        {"timeout": "soon"},
        {"timeout": -1},
        {"device": "abacus"},
        {"device": 3},
        {"iterations": 1.5},
        {"speed": 2},
        {"mesh": 4},
    ],
    ids=repr,
)
def test_options_of_a_wrong_kind_are_named(option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(BoundmeshError, match=name):
        boundmesh.bounds(GRAPH, SQUARE, **option)


class Flat(nn.Module):
    """Needs the batch axis in front."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(torch.flatten(x, 1))


def test_a_forgotten_batch_axis_is_told() -> None:
    flat = Box(np.zeros(4), np.ones(4))
    with pytest.raises(BoundmeshError, match=r"shape \[4\].*with its batch axis"):
        boundmesh.bounds(Flat(), flat)


@pytest.mark.parametrize("example", [None, "text", [[1], [1, 2]], {}, object()])
def test_what_is_no_example_is_refused(example: Any) -> None:
    with pytest.raises(BoundmeshError, match=r"the example is .*expected one input"):
        boundmesh.from_torch(Flat(), example)


def test_an_example_with_nan_and_what_is_no_module_are_refused() -> None:
    with pytest.raises(BoundmeshError, match="the example holds NaN"):
        boundmesh.from_torch(Flat(), [[0.0, 1.0, float("nan"), 2.0]])
    for module in (None, Flat, GRAPH, torch.relu):
        with pytest.raises(BoundmeshError, match=r"expected a torch\.nn\.Module"):
            boundmesh.from_torch(module, torch.zeros(1, 4))


def test_an_example_is_an_array_or_lists_and_a_region_has_the_modules_type() -> None:
    assert [port.shape for port in boundmesh.from_torch(Flat(), [[0, 1, 2, 3]]).inputs] == [(1, 4)]
    box = Box(np.zeros((1, 4)), np.ones((1, 4)))
    assert boundmesh.bounds(Flat().double(), box, method="ibp").lower.shape == (2,)


def test_a_network_that_does_not_depend_on_its_input_is_decided() -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["i"], ["zeros"]),
        helper.make_node("Relu", ["zeros"], ["y"]),
    ]
    constant = loads(model(nodes, [1, 2]))
    for bound, word in ((-0.5, "unsat"), (0.5, "sat")):
        atom = Atom((), ((0, 1.0),), bound)
        prop = Property((Case(SQUARE, (Clause((atom,)),)),), 2, 2)
        assert boundmesh.verify(constant, prop, timeout=20).verdict.word == word
