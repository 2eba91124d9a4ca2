"""PyTorch modules as Graphs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from boundmesh.errors import ReadError, UnsupportedError
from boundmesh.graph.forward import forward, tensors
from boundmesh.read.torch_module import from_torch


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()
        )

    def forward(self, x):
        return torch.relu(x + self.inner(x))


MODULES = {
    "mlp": (nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)), (5,)),
    "activations": (
        nn.Sequential(nn.Linear(5, 8), nn.Sigmoid(), nn.LeakyReLU(0.2), nn.Tanh(), nn.Hardtanh()),
        (5,),
    ),
    "convolutional": (
        nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            Residual(),
            nn.Dropout(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, 3),
        ),
        (3, 8, 8),
    ),
    "pooled": (
        nn.Sequential(nn.ConvTranspose2d(3, 2, 3, 2), nn.MaxPool2d(3, 2), nn.AdaptiveAvgPool2d(1)),
        (3, 6, 6),
    ),
    "layer norm": (nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.Softmax(-1)), (5,)),
}


@pytest.mark.parametrize("name", MODULES)
def test_the_graph_computes_what_the_module_computes(name):
    torch.manual_seed(0)
    module, shape = MODULES[name]
    graph = from_torch(module, torch.rand(1, *shape))
    module.eval()
    for _ in range(4):
        x = torch.randn(1, *shape)
        mine = forward(graph, tensors(graph), x.reshape(1, *graph[graph.input].shape))
        assert torch.allclose(mine.flatten(), module(x).flatten(), atol=1e-5, rtol=1e-5)


def test_the_exporter_is_silent_and_the_module_unchanged(capfd, recwarn):
    module = nn.Sequential(nn.Linear(5, 4), nn.Dropout(), nn.ReLU())
    module[1].eval()
    from_torch(module, torch.rand(1, 5))
    assert [part.training for part in module] == [True, False, True]
    assert module[0].weight.requires_grad
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_modules_with_several_inputs_have_several_ports():
    class Sum(nn.Module):
        def forward(self, x, y):
            return torch.relu(x) - y

    graph = from_torch(Sum(), (torch.rand(2, 3), torch.rand(3)))
    assert [port.shape for port in graph.inputs] == [(2, 3), (3,)]
    assert graph[graph.input].shape == (9,)


def test_float64_modules_stay_float64():
    graph = from_torch(nn.Linear(3, 2).double(), torch.rand(1, 3, dtype=torch.float64))
    assert graph.inputs[0].dtype == "float64"


def test_control_flow_that_depends_on_data_is_refused():
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(UnsupportedError, match=r"torch\.onnx\.export cannot translate Branch"):
        from_torch(Branch(), torch.rand(1, 3))


def test_operators_without_translation_are_refused():
    class Determinant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.det(x)

    with pytest.raises(UnsupportedError, match="'Det'"):
        from_torch(Determinant(), torch.rand(1, 3, 3))


def test_weights_that_are_not_finite_are_refused():
    module = nn.Linear(3, 2)
    with torch.no_grad():
        module.weight[0, 0] = torch.nan
    with pytest.raises(ReadError, match="weight 'weight' holds NaN"):
        from_torch(module, torch.rand(1, 3))
