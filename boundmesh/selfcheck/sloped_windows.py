"""Compares the kernels of rows in windows with slopes with the rules of the operators."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch

from boundmesh.kernels import sloped_windows
from boundmesh.kernels.pieces import Pieces, Steps
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.relu import RELU
from boundmesh.operators.window_grid import Grid, Span
from boundmesh.operators.windows import Windows
from boundmesh.selfcheck.comparisons import Comparison, trusted

ROWS, FEATURES, LENGTH, WINDOW = 6, 8, 9, 4


@cache
def sloped_windows_agree(device: torch.device) -> bool:
    """Return True if the kernels of windows with slopes on `device` agree with the operators."""
    return trusted(device, of_sloped_windows)


def of_sloped_windows(device: torch.device) -> Iterator[Comparison]:
    """Compare windows pulled back through a ReLU with slopes, and the gradients of that."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, FEATURES, LENGTH, LENGTH + 1)
    places = torch.randint(0, LENGTH, (ROWS, 2), generator=generator)
    grid = Grid(places, (Span(1, -2, WINDOW, shape[2]), Span(1, 0, WINDOW - 1, shape[3])))
    rows = torch.randn(1, ROWS, *grid.window, FEATURES, generator=generator)
    rows.masked_fill_(grid.outside.unsqueeze(-1), 0)
    windows = Windows(rows.double(), grid, shape[:2])
    middle = torch.randn(1, *shape, generator=generator)
    index = ((middle > -0.5) & (middle < 0.5)).flatten().nonzero().squeeze(1)
    slots = torch.full((middle.numel(),), -1, dtype=torch.int32)
    slots[index] = torch.arange(len(index), dtype=torch.int32)
    alpha = torch.rand(1, ROWS, len(index), generator=generator).half()

    given = windows.coefficients, alpha, middle - 0.5, middle + 0.5
    exact, slope, lower, upper = leaves = [each.double().requires_grad_() for each in given]
    node = Node("y", RELU.name, ("x",), shape, (shape,))
    assert RELU.relax is not None
    wide = slope.new_zeros(1, ROWS, middle.numel()).index_copy(2, index, slope)
    lines = RELU.relax(node, (Interval(lower, upper),), wide.reshape(1, ROWS, *shape))
    pulled = lines.pull(windows.with_coefficients(exact).dense())
    (whole,) = pulled.coefficients
    assert whole is not None and pulled.bias is not None
    expected = windows.cut(whole)
    to_rows, to_slope, *to_ends = torch.autograd.grad(
        expected.square().sum() + pulled.bias.sum(), leaves
    )

    here = windows.to(device, torch.float32)
    tick = torch.zeros((), device=device, requires_grad=True)
    moments = [torch.zeros_like(alpha, dtype=torch.bfloat16, device=device) for _ in range(2)]
    pace = torch.tensor([0.0, 1.0, 1.0], device=device)
    ends = [end.detach().to(device, torch.float32).requires_grad_() for end in (lower, upper)]
    pieces = Pieces(
        0.0, ends[0], ends[1], slots.to(device), alpha.to(device),
        taker=Steps(moments[0], moments[1], pace, tick), index=index.to(device),
    )  # fmt: skip
    own = here.coefficients.requires_grad_()
    with torch.enable_grad():
        found, bias = sloped_windows.pull(pieces, own, here.grid.reach)
        total = found.square().sum() + bias.sum()
        gradients = torch.autograd.grad(total, [own, *ends, tick], allow_unused=True)
    existing = ~grid.outside.unsqueeze(-1)
    yield "windows through slopes", found.detach(), expected.detach()
    yield "biases of windows through slopes", bias.detach(), pulled.bias.detach()
    yield "gradients to windows", gradients[0], to_rows * existing
    for each, end in zip(gradients[1:3], to_ends, strict=True):
        yield "gradients of windows to bounds", each, end
    # The first moment is a tenth of the gradient, in 8 bits: it is compared in steps of 1/64.
    steps = (moments[0].float() * 10 - to_slope.float().to(device)).abs() > (
        to_slope.float().to(device).abs() / 64 + 1e-4
    )
    yield "gradients of windows to slopes", steps.float(), torch.zeros_like(to_slope)
