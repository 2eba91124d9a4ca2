"""Boxes and unit rows through a linear weight in one pass are what the rules make of them.

Runs on a GPU with Triton, and where TRITON_INTERPRET=1 lets Triton interpret on the CPU.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boundmesh.bounds.sweep.node_weights import NodeWeights, Part
from boundmesh.bounds.sweep.rows import UnitRows
from boundmesh.bounds.sweep.unit_rows import pull_units
from boundmesh.kernels import fused_linear
from boundmesh.operators import linear
from boundmesh.operators.node import Node
from tests.kernels import DEVICE, close, needs_kernels

pytestmark = needs_kernels


@pytest.mark.parametrize("boxes", [(1,), (2, 3)])
@pytest.mark.parametrize("inputs", [3, 1500])
def test_boxes_through_a_weight_are_its_intervals(boxes: tuple[int, ...], inputs: int) -> None:
    weight, bias = torch.randn(20, inputs, device=DEVICE), torch.randn(20, device=DEVICE)
    lower = torch.randn(*boxes, inputs, device=DEVICE)
    upper = lower + torch.rand_like(lower)
    center, radius = (upper + lower).double() / 2, (upper - lower).double() / 2
    middle = center @ weight.double().T
    spread = radius @ weight.double().abs().T
    low, high = fused_linear.interval(weight, None, lower, upper)
    close(low, middle - spread)
    close(high, middle + spread)
    low, high = fused_linear.interval(weight, bias, lower, upper)
    close(low, middle - spread + bias)
    part = fused_linear.interval(weight[5:], bias[5:], lower, upper)
    assert torch.equal(part[0], low[..., 5:]) and torch.equal(part[1], high[..., 5:])


def signed(count: int, outputs: int) -> tuple[Tensor, Tensor]:
    """Neurons in no order, some of them twice, and their signs."""
    index = torch.randint(outputs, (count,), device=DEVICE)
    return index, torch.where(torch.rand(count, device=DEVICE) < 0.5, -1.0, 1.0)


@pytest.mark.parametrize("inputs", [1, 3, 1500])
@pytest.mark.parametrize("low", [0, 5])
def test_unit_rows_of_the_kernel_are_those_of_the_rule(inputs: int, low: int) -> None:
    weight, bias = torch.randn(20, inputs, device=DEVICE), torch.randn(20, device=DEVICE)
    weight[7, 0], bias[9] = float("nan"), float("inf")
    index, sign = signed(40, 20 - low)
    for part in (weight[low:], torch.cat([weight, weight], 1)[low:, :inputs]):
        for offset in (bias, None):
            given = part, offset, index + low, sign, low
            found, expected = fused_linear.unit_rows(*given), linear._unit_rows(*given)
            assert torch.equal(found[0].isnan(), expected[0].isnan())
            assert torch.equal(found[0].nan_to_num(), expected[0].nan_to_num())
            assert (found[1] is None) if offset is None else torch.equal(found[1], expected[1])


def test_unit_rows_of_parts_are_those_of_the_whole_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_linear, "units", lambda *_: True)
    weight, bias = torch.randn(20, 30, device=DEVICE), torch.randn(20, device=DEVICE)
    node = Node("z", "linear", ("x",), (1, 20), ((1, 30),), weights=("w", "b"))
    index, sign = signed(11, 20)
    rows = UnitRows(index, sign, index.cpu().numpy())
    parts = [Part(low, min(low + 8, 20), weight[low : low + 8]) for low in range(0, 20, 8)]
    pulled = pull_units(NodeWeights(node, (bias,), parts), [rows])
    assert pulled is not None and pulled[0].bias is not None
    assert torch.equal(pulled[0].coefficients[0], (weight[index] * sign[:, None])[None, :, None])
    assert torch.equal(pulled[0].bias, (bias[index] * sign)[None])


def test_rows_that_gradients_are_asked_of_are_left_to_the_rule() -> None:
    weight = torch.randn(4, 3, requires_grad=True)
    assert not fused_linear.units(weight, None, torch.ones(4))
