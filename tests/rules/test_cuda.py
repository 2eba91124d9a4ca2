"""The rules on a GPU: what the CPU computes, and the same bits every time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from boundmesh.kernels import fused_rows, launcher
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.runtime.device import full_precision
from tests.rules.samples import DOMAINS, ROWS, SAMPLES, Sample, name_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
each_sample = pytest.mark.parametrize("each", SAMPLES, ids=name_of)


@pytest.fixture(autouse=True)
def exact_kernels() -> None:
    """What a run of boundmesh asks of cuDNN and cuBLAS."""
    full_precision()


def rows_of(each: Sample, device: str) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (DOMAINS, ROWS, *each.node.shape)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(device)


def on(device: str, boxes: tuple[Interval, ...]) -> tuple[Interval, ...]:
    return tuple(Interval(box.lower.to(device), box.upper.to(device)) for box in boxes)


def found_on(each: Sample, device: str) -> list[Tensor]:
    """The interval, the pulled rows, and the gradients of their sum, in float64."""
    boxes = on(device, each.boxes())
    each = replace(each, weights=tuple(weight.to(device) for weight in each.weights))
    found = each.operator.interval(each.node, each.weights, *boxes)
    rows = rows_of(each, device).requires_grad_()
    leaves = [rows]
    if each.operator.pull is not None:
        pulled: Pulled = each.operator.pull(each.node, each.weights, rows)
    else:
        assert each.operator.relax is not None and each.operator.initial is not None
        alpha = each.operator.initial(each.node, boxes).unsqueeze(1).requires_grad_()
        leaves.append(alpha)
        pulled = each.operator.relax(each.node, boxes, alpha).pull(rows)
    parts = [part for part in (*pulled.coefficients, pulled.bias) if part is not None]
    total = torch.stack([part.square().sum() for part in parts]).sum()
    gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    outcome = [found.lower, found.upper, *parts, *gradients]
    return [part.detach() for part in outcome if part is not None]


@each_sample
def test_a_gpu_computes_what_the_cpu_computes(each: Sample) -> None:
    """Up to rounding, which the chord over a box of width 1e-7 multiplies by 1e7."""
    mine, theirs = [part.cpu() for part in found_on(each, "cuda")], found_on(each, "cpu")
    if each.node.op == "hard_swish":
        # Its slope jumps, so two lines can touch equally well; the gradient to α is that of either.
        mine, theirs = mine[:-1], theirs[:-1]
    torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)


@each_sample
def test_a_gpu_gives_the_same_bits_every_time(each: Sample) -> None:
    first = found_on(each, "cuda")
    for _ in range(3):
        again = found_on(each, "cuda")
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.skipif(not launcher.available(), reason="Triton is not installed")
@pytest.mark.parametrize("domains", [1, 3])
@pytest.mark.parametrize("own", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("size", [5, 1024, 3000])
def test_fused_lines_are_the_plain_lines_with_equal_bits_every_time(domains, own, size):
    generator = torch.Generator("cuda").manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device="cuda")

    rows = random(domains, 7, size)
    below, above = (random(domains, 7 if mine else 1, size) for mine in own)
    intercept = random(domains, 1, size)
    found, bias = fused_rows.pull(rows, below, above, intercept)
    plain = torch.where(rows >= 0, below, above) * rows
    assert torch.equal(found, plain)
    exact = (rows.clamp(max=0).double() * intercept.double()).sum(2)
    assert torch.allclose(bias.double(), exact, rtol=1e-5, atol=1e-4)
    again, bias_again = fused_rows.pull(rows, below, above, intercept)
    assert torch.equal(found, again) and torch.equal(bias, bias_again)
    one, bias_of_one = fused_rows.pull(
        rows[:, 3:4].contiguous(),
        below[:, -1:] if not own[0] else below[:, 3:4],
        above[:, -1:] if not own[1] else above[:, 3:4],
        intercept,
    )
    assert torch.equal(one[:, 0], found[:, 3]) and torch.equal(bias_of_one[:, 0], bias[:, 3])


@pytest.mark.skipif(not launcher.available(), reason="Triton is not installed")
def test_fused_lines_keep_nan():
    rows = torch.tensor([[[1.0, float("nan"), -1.0]]], device="cuda")
    lines = torch.ones(1, 1, 3, device="cuda")
    found, bias = fused_rows.pull(rows, lines, lines, lines)
    assert torch.isnan(found[0, 0, 1]) and torch.isnan(bias[0, 0])
