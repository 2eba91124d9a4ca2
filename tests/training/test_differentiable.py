"""Bounds with gradients: their values, their gradients, and what they refuse."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import boundmesh
from boundmesh.graph.graph import Graph
from boundmesh.read.torch_module import exported
from boundmesh.regions import Box
from boundmesh.training.tagged import plain_copy, tags_for

METHODS = ("ibp", "crown-ibp", "crown")


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.LeakyReLU(0.1), nn.Linear(6, 3)
    )


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 2, stride=2),
        nn.Tanh(), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip


class Residual(nn.Module):
    """A skip, a weight that two layers share, a transposed weight, and a scale of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.scale = nn.Linear(5, 5), nn.Parameter(torch.rand(5) + 0.5)
        self.last = nn.Linear(5, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.inner(x)) * self.scale + x
        y = torch.sigmoid(y @ self.inner.weight)
        result: Tensor = self.last(y)
        return result


def normed() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(5, 6)), nn.ReLU(), nn.Linear(6, 3))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (5,)),
    "conv": (conv, (1, 4, 4)),
    "residual": (Residual, (5,)),
    "normed": (normed, (5,)),
}
MADE: dict[str, nn.Module] = {}


def made(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """A network in evaluation mode, and four boxes of it; the network is exported once."""
    build, shape = NETWORKS[name]
    torch.manual_seed(3)
    if name not in MADE:
        module = build().double()
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                assert part.running_mean is not None and part.running_var is not None
                nn.init.uniform_(part.running_mean)
                nn.init.uniform_(part.running_var, 0.5, 2)
                nn.init.uniform_(part.weight, 0.5, 2)
        MADE[name] = module.eval()
    x = torch.randn(4, *shape, dtype=torch.float64)
    return MADE[name], x - 0.2, x + 0.2


def graph_of(module: nn.Module, x: Tensor) -> Graph:
    """The module's graph without its source: ONNX Runtime runs not every operator in float64."""
    return replace(exported(module, (x[:1],)), source=None)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_bounds_are_those_without_gradients_up_to_rounding(name: str) -> None:
    module, lower, upper = made(name)
    graph = graph_of(module, lower)
    for method in METHODS:
        found = boundmesh.bounds(module, (lower, upper), method=method, differentiable=True)
        regions = [Box(low[None], high[None]) for low, high in zip(lower, upper, strict=True)]
        known = boundmesh.bounds(graph, regions, method=method, dtype="float64", device="cpu")
        for place, each in enumerate(known):
            lowest, highest = found.lower[place].detach(), found.upper[place].detach()
            np.testing.assert_allclose(lowest, each.lower, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(highest, each.upper, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_equal_finite_differences(name: str, method: str) -> None:
    module, lower, upper = made(name)
    lower.requires_grad_(), upper.requires_grad_()
    weigh = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3)

    def value(low: Tensor, high: Tensor) -> Tensor:
        found = boundmesh.bounds(module, (low, high), method=method, differentiable=True)
        return (weigh * found.lower).sum() + (weigh.flip(0) * found.upper).sum()

    parameters = [*module.parameters()]
    gradients = torch.autograd.grad(value(lower, upper), [*parameters, lower, upper])
    step = 1e-6
    for place, gradient in enumerate(gradients):
        assert gradient.abs().sum() > 0
        away = step * torch.randn_like(gradient)
        tensor = [*parameters, lower, upper][place]
        ends: list[Tensor] = []
        with torch.no_grad():
            for sign in (1, -2):
                tensor.add_(away, alpha=sign)
                ends.append(value(lower, upper))
            tensor.add_(away)
        slope = (ends[0] - ends[1]) / 2
        torch.testing.assert_close((gradient * away).sum(), slope, rtol=1e-4, atol=1e-11)


def test_bounds_follow_the_parameters_without_a_new_export() -> None:
    module, lower, upper = made("mlp")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5)
    found = boundmesh.bounds(module, (lower, upper), method="crown", differentiable=True)
    graph = graph_of(module, lower)
    known = boundmesh.bounds(graph, Box(lower[:1], upper[:1]), method="crown", dtype="float64")
    np.testing.assert_allclose(found.lower[0].detach(), known.lower, rtol=1e-9)


def test_each_input_may_have_rows_of_its_own() -> None:
    module, lower, upper = made("mlp")
    rows = torch.randn(4, 2, 3, dtype=torch.float64)
    for method in METHODS:
        options = {"method": method, "differentiable": True}
        found = boundmesh.bounds(module, (lower, upper), rows=rows, **options)
        for place in range(4):
            part = slice(place, place + 1)
            alone = boundmesh.bounds(
                module, (lower[part], upper[part]), rows=rows[place], **options
            )
            torch.testing.assert_close(found.lower[part], alone.lower)
            torch.testing.assert_close(found.upper[part], alone.upper)
        one = boundmesh.bounds(module, (lower, upper), rows=rows, sides="lower", **options)
        torch.testing.assert_close(found.lower, one.lower)


def test_no_number_has_the_same_tag_in_both_exports() -> None:
    """A weight of one number would otherwise look like a constant now and then."""
    sources = plain_copy(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)))[1]
    first, second = (tags_for(sources, seed) for seed in (0, 1))
    assert len({*first.tolist(), *second.tolist()}) == 2 * 11
    assert {*abs(first)}.isdisjoint(abs(second))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="it needs a GPU")
@pytest.mark.parametrize("method", METHODS)
def test_gradients_on_a_gpu_are_those_on_the_cpu(method: str) -> None:
    module, lower, upper = made("conv")
    found = []
    for device in ("cpu", "cuda"):
        one = copy.deepcopy(module).float().to(device)
        ends = lower.float().to(device), upper.float().to(device)
        value = boundmesh.bounds(one, ends, method=method, differentiable=True).lower.sum()
        found.append([each.cpu() for each in torch.autograd.grad(value, [*one.parameters()])])
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-3)


def test_an_attribute_that_changes_leads_to_a_new_export() -> None:
    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slope, self.inner = 1.0, nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.inner(x)) * self.slope

    module, ends = Steep(), (torch.zeros(1, 3), torch.ones(1, 3))
    before = boundmesh.bounds(module, ends, method="ibp", differentiable=True)
    module.slope = 3.0
    after = boundmesh.bounds(module, ends, method="ibp", differentiable=True)
    torch.testing.assert_close(after.upper, 3 * before.upper)


class Computed(nn.Module):
    """A weight that is computed from a parameter on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.abs()


class Random(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = nn.functional.dropout(self.inner(x), 0.9, training=self.training)
        return result


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)), "'1' .Dropout. is in training mode"),
        (nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), "statistics of the batch"),
        (Computed(), "computed from parameters"),
        (Random(), "something else than its export"),
        (nn.Linear(3, 3).half(), "float16"),
        ("net.onnx", "need a torch.nn.Module"),
    ],
)
def test_a_module_whose_bounds_would_be_wrong_is_refused(module: nn.Module, said: str) -> None:
    torch.manual_seed(0)
    ends = torch.zeros(2, 3), torch.ones(2, 3)
    with pytest.raises(boundmesh.BoundmeshError, match=said):
        boundmesh.bounds(module, ends, differentiable=True)


@pytest.mark.parametrize(
    ("region", "options", "said"),
    [
        ("x", {}, "expected a pair"),
        ((torch.zeros(2, 5), torch.zeros(2, 4)), {}, "have the shapes"),
        ((torch.ones(2, 5), torch.zeros(2, 5)), {}, "a box is empty"),
        ((torch.full((2, 5), torch.nan), torch.zeros(2, 5)), {}, "holds NaN"),
        ((torch.zeros(2, 5), torch.ones(2, 5)), {"method": "alpha-crown"}, "method is"),
        ((torch.zeros(2, 5), torch.ones(2, 5)), {"rows": torch.ones(3, 1, 3)}, "rows have"),
        ((torch.zeros(2, 5), torch.ones(2, 5)), {"timeout": 3}, "take method, rows and sides"),
        ((torch.zeros(2, 5), torch.ones(2, 5)), {"sides": "upper"}, "sides is 'upper'"),
    ],
)
def test_bad_arguments_are_refused(region: object, options: dict[str, object], said: str) -> None:
    module, _, _ = made("mlp")
    with pytest.raises(boundmesh.BoundmeshError, match=said):
        boundmesh.bounds(module, region, differentiable=True, **options)
