"""A module is exported once while it stays as it is, and anew after any change that matters."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import boundmesh
from boundmesh.read.module_content import content_of
from boundmesh.read.remembered import Remembered
from boundmesh.read.torch_module import from_torch

FACTOR = 1.0
OPTIONS = SimpleNamespace(factor=1.0)
X = (torch.zeros(1, 4),)


def doubled(x: Tensor) -> Tensor:
    return 2 * x


class Head(nn.Module):
    """A submodule with a method that only its owner calls."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return x

    def score(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner(x)
        return found


class Small(nn.Module):
    """A network with something of every kind that can change."""

    power = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)
        self.bend = nn.LeakyReLU(0.1)
        self.head = Head()
        self.scale = 1.0
        self.shift = torch.zeros(3)
        self.steps = [1.0, 2.0]

    def forward(self, x: Tensor) -> Tensor:
        x = doubled(self.bend(self.norm(self.first(x)))) * FACTOR * self.scale + self.shift
        return self.tail(x)

    def tail(self, x: Tensor) -> Tensor:
        return self.head.score(functional.relu(x) * self.steps[0] * self.power)

    def unrelated(self) -> float:
        return float(OPTIONS.factor)


def in_place(tensor: Tensor) -> None:
    with torch.no_grad():
        tensor += 1


CHANGES: dict[str, Callable[[Small, pytest.MonkeyPatch], Any]] = {
    "a parameter": lambda net, patch: in_place(net.first.weight),
    "a parameter behind autograd's back": lambda net, patch: net.first.weight.data.mul_(2),
    "a parameter replaced": lambda net, patch: setattr(
        net.first, "bias", nn.Parameter(X[0][0, 1:])
    ),
    "a buffer": lambda net, patch: in_place(net.norm.running_mean),
    "a plain tensor": lambda net, patch: in_place(net.shift),
    "a hyperparameter": lambda net, patch: setattr(net.bend, "negative_slope", 0.2),
    "an attribute": lambda net, patch: setattr(net, "scale", 2.0),
    "an element of a list": lambda net, patch: net.steps.__setitem__(0, 3.0),
    "the mode": lambda net, patch: net.eval(),
    "the mode of a part": lambda net, patch: net.norm.eval(),
    "a submodule": lambda net, patch: setattr(net, "bend", nn.Tanh()),
    "a dtype": lambda net, patch: net.double(),
    "a constant of the class": lambda net, patch: patch.setattr(Small, "power", 2.0),
    "a method": lambda net, patch: patch.setattr(Small, "tail", Small.forward),
    "a method of a part": lambda net, patch: patch.setattr(Head, "score", Head.forward),
    "the forward pass of an instance": lambda net, patch: setattr(net, "forward", doubled),
    "a global": lambda net, patch: patch.setitem(Small.forward.__globals__, "FACTOR", 2.0),
    "a function": lambda net, patch: patch.setitem(
        Small.forward.__globals__, "doubled", functional.relu
    ),
    "a hook": lambda net, patch: net.bend.register_forward_hook(lambda *given: None),
}


@pytest.fixture
def net() -> Iterator[Small]:
    yield Small()


@pytest.mark.parametrize("change", CHANGES.values(), ids=[*CHANGES])
def test_a_changed_module_is_computed_anew(
    net: Small, change: Callable[[Small, pytest.MonkeyPatch], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered, runs = Remembered[int](), iter(range(9))
    assert [remembered(net, X, lambda: next(runs)) for _ in range(3)] == [0, 0, 0]
    change(net, monkeypatch)
    assert remembered(net, X, lambda: next(runs)) == 1


def test_what_a_forward_pass_cannot_reach_does_not_count(
    net: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content_of(net)
    assert before is not None
    monkeypatch.setattr(Small, "unrelated", lambda self: 3.0)
    assert content_of(net) == before


class Hidden(nn.Module):
    """Reads a setting in a place where its changes cannot be seen."""

    def forward(self, x: Tensor) -> Tensor:
        return x * float(OPTIONS.factor)


class Evaluated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * float(eval("FACTOR"))


class Importing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        from tests.read import conftest

        return x * len(conftest.__name__)


@pytest.mark.parametrize("kind", [Hidden, Evaluated, Importing])
def test_a_module_whose_changes_cannot_be_seen_is_never_remembered(kind: type[nn.Module]) -> None:
    module, remembered, runs = kind(), Remembered[int](), iter(range(9))
    assert content_of(module) is None
    assert [remembered(module, X, lambda: next(runs)) for _ in range(2)] == [0, 1]


def test_inputs_of_another_shape_are_computed_anew(net: Small) -> None:
    remembered, runs = Remembered[int](), iter(range(9))
    assert remembered(net, X, lambda: next(runs)) == 0
    assert remembered(net, (torch.zeros(2, 4),), lambda: next(runs)) == 1
    assert remembered(net, (torch.zeros(2, 4, dtype=torch.float64),), lambda: next(runs)) == 2


def test_a_module_that_changes_while_it_is_computed_is_not_remembered(net: Small) -> None:
    remembered, runs = Remembered[int](), iter(range(9))

    def compute() -> int:
        net.scale += 1
        return next(runs)

    assert [remembered(net, X, compute) for _ in range(2)] == [0, 1]


def test_a_graph_is_remembered_no_longer_than_its_module() -> None:
    module = nn.Linear(4, 2)
    graph = from_torch(module, X[0])
    assert from_torch(module, X[0]) is graph
    remembered = Remembered[object]()
    assert remembered(module, X, object) is not None
    del module
    gc.collect()
    assert not remembered.count


def test_the_graph_of_a_changed_module_computes_as_the_module_does() -> None:
    module = nn.Linear(4, 2)
    from_torch(module, X[0])
    module.weight.data.fill_(3.0)
    graph = from_torch(module, X[0])
    assert any((weight == 3.0).all() for weight in graph.weights.values())


def test_the_export_of_a_module_counts_into_the_deadline() -> None:
    region = boundmesh.Box([[0.0] * 4], [[1.0] * 4])
    prop = boundmesh.Property.largest(region, 0, 2)
    found = boundmesh.verify(Small().eval(), prop, timeout=1e-3)
    assert found.verdict.word == "timed-out" and found.seconds["read"] > 1e-3
