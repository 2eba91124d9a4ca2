"""Compares the kernels of rows in windows with slopes with the rules of the operators."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from boundmesh.kernels import fused_collect, sloped_windows
from boundmesh.kernels.gradient_use import AdamSteps
from boundmesh.kernels.pieces import Pieces
from boundmesh.kernels.sums import Collected
from boundmesh.operators.convolution import CONV
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.relu import RELU
from boundmesh.operators.window_sums import sums_of_magnitudes
from boundmesh.operators.windows import Windows
from boundmesh.selfcheck.comparisons import Comparison, trusted
from boundmesh.selfcheck.sample_windows import ROWS, sample_windows

FEATURES = 8


@cache
def sloped_windows_agree(device: torch.device) -> bool:
    """Return True if the kernels of windows with slopes on `device` agree with the operators."""
    return trusted(device, of_sloped_windows)


def of_sloped_windows(device: torch.device) -> Iterator[Comparison]:
    """Compare windows through a ReLU with slopes, gradients of that, and gradients of products."""
    generator = torch.Generator().manual_seed(0)
    windows, middle = sample_windows(1, FEATURES, generator)
    index = ((middle > -0.5) & (middle < 0.5)).flatten().nonzero().squeeze(1)
    slots = torch.full((middle.numel(),), -1, dtype=torch.int32)
    slots[index] = torch.arange(len(index), dtype=torch.int32)
    alpha = torch.rand(1, ROWS, len(index), generator=generator).half()

    lower, upper = middle - 0.5, middle + 0.5
    expected, expected_bias, to_rows, to_slope, *to_ends = _by_operators(
        windows, index, (windows.coefficients, alpha, lower, upper)
    )
    here = windows.to(device, torch.float32)
    tick = torch.zeros((), device=device, requires_grad=True)
    moments = [torch.zeros_like(alpha, dtype=torch.bfloat16, device=device) for _ in range(2)]
    pace = torch.tensor([0.0, 1.0, 1.0], device=device)
    ends = [end.to(device, torch.float32).requires_grad_() for end in (lower, upper)]
    pieces = Pieces(
        0.0, ends[0], ends[1], slots.to(device), alpha.to(device),
        gradient_use=AdamSteps(moments[0], moments[1], pace, tick), index=index.to(device),
    )  # fmt: skip
    coefficients = here.coefficients.requires_grad_()
    with torch.enable_grad():
        due = here.table(middle.abs().to(device, torch.float32))
        computed, after = sloped_windows.pull(
            pieces, coefficients, here.grid.reach, Collected(due=due)
        )
        bias, error = after.bias, after.error
        assert bias is not None and error is not None
        total = computed.square().sum() + bias.sum()
        gradients = torch.autograd.grad(total, [coefficients, *ends, tick], allow_unused=True)
    existing = ~windows.grid.outside.unsqueeze(-1)
    yield "windows through slopes", computed.detach(), expected
    yield "biases of windows through slopes", bias.detach(), expected_bias
    magnitudes = windows.read(middle.double().abs()) * windows.coefficients
    yield "rounding errors of windows through slopes", error, sums_of_magnitudes(magnitudes)
    yield "gradients to windows", gradients[0], to_rows * existing
    for gradient, end in zip(gradients[1:3], to_ends, strict=True):
        yield "gradients of windows to bounds", gradient, end
    # The first moment is a tenth of the gradient, in 8 bits: it is compared in steps of 1/64.
    steps = (moments[0].float() * 10 - to_slope.float().to(device)).abs() > (
        to_slope.float().to(device).abs() / 64 + 1e-4
    )
    yield "gradients of windows to slopes", steps.float(), torch.zeros_like(to_slope)
    with torch.no_grad():
        products = [*of_convolution(device, windows)]
    yield from products


def _by_operators(
    windows: Windows, index: Tensor, given: tuple[Tensor, Tensor, Tensor, Tensor]
) -> tuple[Tensor, ...]:
    """Pull windows back by ReLU's rule, in float64; return coefficients, biases and gradients.

    `given` are the coefficients, the slopes of the flat neurons `index`, and both ends of the
    bounds. The gradients are those of Σ coefficients² + Σ bias to each of them, in this order.
    """
    exact, slope, lower, upper = leaves = [value.double().requires_grad_() for value in given]
    shape = windows.shape
    node = Node("y", RELU.name, ("x",), shape, (shape,))
    assert RELU.relax is not None
    wide = slope.new_zeros(1, ROWS, lower.numel()).index_copy(2, index, slope)
    lines = RELU.relax(node, (Interval(lower, upper),), wide.reshape(1, ROWS, *shape))
    pulled = lines.pull(windows.with_coefficients(exact).dense())
    (whole,) = pulled.coefficients
    assert whole is not None and pulled.bias is not None
    expected = windows.cut(whole)
    gradients = torch.autograd.grad(expected.square().sum() + pulled.bias.sum(), leaves)
    return expected.detach(), pulled.bias.detach(), *gradients


def of_convolution(device: torch.device, windows: Windows) -> Iterator[Comparison]:
    """Compare the gradients of a convolution, of whole numbers that are exact in TensorFloat-32."""
    generator = torch.Generator().manual_seed(1)
    (_, wide, *lengths), grid = windows.shape, windows.grid
    before = (1, 16, 2 * lengths[0], lengths[1] + 2)
    attributes = {
        "stride": (2, 1), "dilation": (1, 2), "padding": ((1, 0), (1, 1)), "groups": 1,
    }  # fmt: skip
    node = Node("y", CONV.name, ("x",), windows.shape, (before,), attributes)

    def whole(*shape: int) -> Tensor:
        return torch.randint(-4, 5, shape, generator=generator).double()

    weight, bias = whole(wide, before[1], 3, 3), whole(wide)
    rule, transpose = CONV.pull_windows, CONV.forward_windows
    assert rule is not None and transpose is not None
    pulled = rule(node, (weight,), windows)
    assert pulled is not None
    (there,) = pulled.windows
    values, of_bias = there.with_coefficients(whole(*there.coefficients.shape)), whole(1, ROWS)
    expected = transpose(node, (weight, bias), values, grid, of_bias)
    for precision in ("ieee", "tf32"):
        here = values.to(device, torch.float32)
        computed = fused_collect.collect(
            here.coefficients, weight.to(device, torch.float32), (2, 1), (1, 2), (0, 0),
            grid.window, here.grid.reach, of_bias.to(device, torch.float32),
            bias.to(device, torch.float32), precision,
        )  # fmt: skip
        yield f"gradients of a convolution in {precision}", computed, expected
