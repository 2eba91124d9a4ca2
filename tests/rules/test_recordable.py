"""Rules that a recorded step runs never wait for a value from the device, nor copy one there."""

from __future__ import annotations

import pytest
import torch

from boundmesh.operators.interval import Interval
from tests.host_values import never_waits
from tests.rules.samples import AFFINE, DOMAINS, NONLINEAR, ROWS, Sample


@pytest.mark.parametrize("each", NONLINEAR, ids=lambda each: each.node.op)
def test_lines_with_slopes_and_their_gradients_never_wait(each: Sample) -> None:
    relax, initial = each.operator.relax, each.operator.initial
    assert relax is not None and initial is not None
    boxes = each.boxes()
    start = (
        initial(each.node, boxes).unsqueeze(1).repeat(1, ROWS, *[1] * (boxes[0].lower.dim() - 1))
    )
    rows = torch.randn(DOMAINS, ROWS, *each.node.shape, dtype=start.dtype)

    def gradient() -> None:
        leaves = [Interval(box.lower.clone(), box.upper.clone()) for box in boxes]
        ends = [end.requires_grad_() for box in leaves for end in (box.lower, box.upper)]
        alpha = start.clone().requires_grad_()
        pulled = relax(each.node, tuple(leaves), alpha).pull(rows)
        total = sum((part.sum() for part in pulled.coefficients), pulled.bias)
        assert isinstance(total, torch.Tensor)
        if total.requires_grad:
            torch.autograd.grad(total.sum(), [alpha, *ends], allow_unused=True)

    gradient()  # The first call makes tables and copies attributes to the device.
    with never_waits():
        gradient()


@pytest.mark.parametrize("each", AFFINE, ids=lambda each: each.node.op)
def test_rows_through_affine_operators_never_wait(each: Sample) -> None:
    pull, weights = each.operator.pull, each.weights
    assert pull is not None
    rows = torch.randn(1, ROWS, *each.node.shape, dtype=torch.float64)

    def gradient() -> None:
        leaf = rows.clone().requires_grad_()
        pulled = pull(each.node, weights, leaf)
        total = sum(part.sum() for part in pulled.coefficients)
        if isinstance(total, torch.Tensor) and total.requires_grad:
            torch.autograd.grad(total, leaf)

    gradient()
    with never_waits():
        gradient()
