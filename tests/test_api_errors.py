"""The Python API refuses what it cannot use, and says what it met, expected, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
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


ZEROS = torch.zeros(1, 2)
KINDS: dict[str, Callable[[], Any]] = {
    "on the device meta": lambda: ZEROS.to("meta"),
    "a sparse tensor": lambda: ZEROS.to_sparse(),
    "a quantized tensor": lambda: torch.quantize_per_tensor(ZEROS, 0.1, 0, torch.qint8),
    "a nested tensor": lambda: torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)]),
    "complex numbers": lambda: ZEROS.to(torch.complex64).conj(),
    "are masked": lambda: np.ma.masked_array(np.zeros((1, 2)), mask=[[True, False]]),
}
"""Arrays that do not hold a real number at every place, by words of the error."""


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_arrays_without_a_real_number_at_every_place_are_refused(kind: str) -> None:
    odd, ones = KINDS[kind](), torch.ones(1, 2)
    module = nn.Linear(2, 2)
    calls: list[Callable[[], object]] = [
        lambda: Box(odd, ones),
        lambda: Box.around(odd, 0.1),
        lambda: Box.around(ones, odd),
        lambda: Ball(odd, 1.0, 2.0),
        lambda: boundmesh.bounds(GRAPH, SQUARE, rows=odd),
        lambda: boundmesh.bounds(module, (odd, ones), differentiable=True),
        lambda: boundmesh.bounds(module, (ones, ones), differentiable=True, rows=odd),
        lambda: boundmesh.from_torch(module, odd),
        lambda: boundmesh.certify(module, odd, eps=0.1),
        lambda: boundmesh.certify(module, ones, eps=odd),
        lambda: boundmesh.certify(module, ones, eps=0.1, mean=odd, std=1),
    ]
    for call in calls:
        with pytest.raises(BoundmeshError, match=kind):
            call()


def test_tensors_with_gradients_and_of_every_width_are_arrays_of_numbers() -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.float64, torch.int8, torch.float8_e4m3fn):
        zeros = torch.zeros(1, 2).to(dtype)
        if dtype.is_floating_point and dtype.itemsize > 1:
            zeros.requires_grad_()
        assert Box(zeros, np.ones((1, 2))).size == 2


@pytest.mark.parametrize("strict", ["no", 1, None, [], np.zeros(2), torch.zeros(2)], ids=repr)
def test_whether_an_atom_is_strict_is_a_truth_value(strict: Any) -> None:
    with pytest.raises(BoundmeshError, match="strict"):
        Atom((), ((0, 1.0),), 0.0, strict)
    assert Atom((), ((0, 1.0),), 0.0, np.True_).strict is True


@pytest.mark.parametrize("given", [3, ["x"], torch.zeros(2), "x=1,2"], ids=repr)
def test_what_tells_no_shapes_is_refused(given: Any, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(models()[0])
    with pytest.raises(BoundmeshError, match="shapes are"):
        boundmesh.load(tmp_path / "net.onnx", shapes=given)
    if not isinstance(given, str):
        with pytest.raises(BoundmeshError, match="expected the name of a VNN-LIB file"):
            boundmesh.load(tmp_path / "net.onnx", property=given)


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
