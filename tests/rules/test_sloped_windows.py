"""Rows in windows that pass neurons with slopes, and their gradients, are what autograd gives.

Runs on a GPU with Triton, and where TRITON_INTERPRET=1 lets Triton interpret on the CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from boundmesh.bounds.methods.adam import StepSizes
from boundmesh.bounds.relaxation.slopes import Slope
from boundmesh.kernels import fused_collect, fused_window_sums, sloped_windows
from boundmesh.kernels.gradient_use import AdamSteps
from boundmesh.kernels.pieces import Pieces
from boundmesh.kernels.sums import Collected
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node, Shape
from boundmesh.operators.window_grid import Grid, Span, reach
from boundmesh.operators.windows import Windows
from boundmesh.selfcheck import comparisons
from boundmesh.selfcheck.sloped_windows import of_sloped_windows
from tests.kernels import DEVICE, close, needs_kernels
from tests.rules.test_windows import random_windows

pytestmark = needs_kernels
OPERATORS = [("relu", 0.0), ("leaky_relu", 0.1)]
SHAPES = [(1, 3, 7), (1, 8, 5, 6), (1, 2, 4, 3, 5)]
LONG = (1, 512, 12, 13)
each_operator = pytest.mark.parametrize(("op", "slope"), OPERATORS)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@dataclass(frozen=True)
class Case:
    """Rows in windows, boxes, α for the unstable neurons, and gradients to what is pulled back."""

    windows: Windows
    box: Interval
    pieces: Pieces
    alpha: Tensor
    gradient: Tensor
    of_bias: Tensor

    @property
    def here(self) -> Windows:
        return self.windows.to(DEVICE, torch.float32)

    def pulled(self, rows: Tensor, alpha: Tensor, box: Interval, op: str) -> tuple[Tensor, Tensor]:
        """What the operator's lines pull the dense rows back to, in windows, and the bias."""
        relax, shape = RULES[op].relax, self.windows.shape
        assert relax is not None and self.pieces.index is not None
        node = Node("y", op, ("x",), shape, (shape,), {"slope": self.pieces.slope})
        dense = self.windows.with_coefficients(rows).dense()
        wide = alpha.new_zeros(*alpha.shape[:2], math.prod(shape))
        wide = wide.index_copy(2, self.pieces.index.cpu(), alpha).unflatten(2, shape)
        found = relax(node, (box,), wide).pull(dense)
        (whole,) = found.coefficients
        assert whole is not None and found.bias is not None
        return self.windows.cut(whole), found.bias

    def gradients(self, op: str) -> list[Tensor]:
        """To rows, α, l and u, by autograd in float64."""
        given = (self.windows.coefficients, self.alpha, self.box.lower, self.box.upper)
        rows, alpha, lower, upper = leaves = [each.double().requires_grad_() for each in given]
        found, bias = self.pulled(rows, alpha, Interval(lower, upper), op)
        total = (found * self.gradient).sum() + (bias * self.of_bias).sum()
        return list(torch.autograd.grad(total, leaves))


def case_of(shape: Shape, slope: float, domains: int, seed: int = 0) -> Case:
    windows = random_windows(shape, seed, domains)
    generator = torch.Generator().manual_seed(seed)
    size = math.prod(shape)
    middle = torch.randn(domains, *shape, generator=generator, dtype=torch.float64) / 2
    box = Interval(middle - 0.5, middle + 0.5)
    index = ((box.lower < 0) & (box.upper > 0)).flatten(1).any(0).nonzero().squeeze(1)
    places = torch.full((size,), -1, dtype=torch.int32)
    places[index] = torch.arange(len(index), dtype=torch.int32)
    alpha = torch.rand(domains, windows.count, len(index), generator=generator).half()
    ends = (box.lower.to(DEVICE, torch.float32), box.upper.to(DEVICE, torch.float32))
    pieces = Pieces(
        slope, *ends, places.to(DEVICE), alpha.to(DEVICE, copy=True), index=index.to(DEVICE)
    )
    gradient = torch.randn(windows.coefficients.shape, generator=generator, dtype=torch.float64)
    of_bias = torch.randn(domains, windows.count, generator=generator, dtype=torch.float64)
    return Case(windows, box, pieces, alpha, gradient, of_bias)


@each_operator
@pytest.mark.parametrize("shape", [*SHAPES, LONG], ids=str)
@pytest.mark.parametrize("domains", [1, 2])
def test_pulled_windows_are_those_of_the_lines(
    op: str, slope: float, shape: Shape, domains: int
) -> None:
    case = case_of(shape, slope, domains)
    rows, reach = case.here.coefficients, case.here.grid.reach
    with torch.no_grad():
        due = case.here.table(torch.ones(1, *case.windows.shape, device=DEVICE))
        found, once = sloped_windows.pull(case.pieces, rows, reach, Collected(due=due))
        _, twice = sloped_windows.pull(case.pieces, rows, reach, replace(once, due=due))
    expected, of_lines = case.pulled(case.windows.coefficients, case.alpha.double(), case.box, op)
    error = case.windows.coefficients.abs().flatten(2).sum(2).expand(domains, -1)
    assert shape != LONG or rows[0, 0].numel() > fused_window_sums.WHOLE
    close(found, expected)
    for after, times in ((once, 1), (twice, 2)):
        assert after.bias is not None and after.error is not None
        close(after.bias, times * of_lines)
        close(after.error, times * error)


def back(case: Case, pieces: Pieces, tick: Tensor) -> list[Tensor]:
    rows = case.here.coefficients.clone().requires_grad_()
    lower, upper = (end.clone().requires_grad_() for end in (pieces.lower, pieces.upper))
    pieces = replace(pieces, lower=lower, upper=upper)
    found, after = sloped_windows.pull(pieces, rows, case.here.grid.reach, Collected())
    assert after.bias is not None
    gradients = [each.to(DEVICE, torch.float32) for each in (case.gradient, case.of_bias)]
    leaves = [rows, lower, upper, tick]
    return list(torch.autograd.grad([found, after.bias], leaves, gradients, allow_unused=True))[:3]


@each_operator
@each_shape
@pytest.mark.parametrize("domains", [1, 2])
def test_gradients_and_steps_are_those_of_autograd(
    op: str, slope: float, shape: Shape, domains: int
) -> None:
    case = case_of(shape, slope, domains)
    rows, to_alpha, lower, upper = case.gradients(op)
    tick = torch.zeros((), device=DEVICE, requires_grad=True)
    assert case.pieces.alpha is not None
    moment = torch.zeros_like(case.pieces.alpha, dtype=torch.bfloat16)
    moments = moment, moment.clone()
    other = Slope(case.alpha.clone(), moment.cpu().clone(), moment.cpu().clone())
    pace = StepSizes(1, case.pieces.lower)
    pace.set((0.2, 1))
    found = back(
        case,
        replace(case.pieces, gradient_use=AdamSteps(moments[0], moments[1], pace.steps[0], tick)),
        tick,
    )
    existing = ~case.windows.grid.outside.unsqueeze(-1)
    close(found[0], rows * existing)
    close(found[1], lower)
    close(found[2], upper)
    other.ascend(to_alpha.float(), pace.steps[0].cpu())
    sure = (to_alpha.abs() > 1e-5) | (to_alpha == 0)
    near = {"rtol": 1e-2, "atol": 2e-3}  # both are stored in 16 bits
    torch.testing.assert_close(case.pieces.alpha.cpu()[sure], other.value[sure], **near)
    torch.testing.assert_close(moments[0].cpu(), other.first, **near)


def test_a_row_has_the_same_bits_alone_and_among_others() -> None:
    case = case_of((1, 8, 5, 6), 0.0, 1)
    here = case.here
    assert case.pieces.alpha is not None
    with torch.no_grad():
        reach, none = here.grid.reach, Collected()
        every, after = sloped_windows.pull(case.pieces, here.coefficients, reach, none)
        one = replace(here.grid, places=here.grid.places[3:4])
        pieces = replace(case.pieces, alpha=case.pieces.alpha[:, 3:4])
        alone, its = sloped_windows.pull(pieces, here.coefficients[:, 3:4], one.reach, none)
    assert torch.equal(every[:, 3:4], alone)
    assert after.bias is not None and its.bias is not None
    assert torch.equal(after.bias[:, 3:4], its.bias)


def test_the_comparison_before_the_first_use_agrees() -> None:
    for name, found, expected in of_sloped_windows(torch.device(DEVICE)):
        assert comparisons.close(found, expected), name


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("front", [0, 1])
def test_values_are_collected_as_autograd_collects_them(axes: int, front: int) -> None:
    window, kernel = (3, 4, 2)[:axes], (3, 2, 3)[:axes]
    stride, dilation = (2, 1, 3)[:axes], (1, 2, 2)[:axes]
    reached = [reach(*each) for each in zip(window, kernel, stride, dilation, strict=True)]
    left = [length - front - 1 for length in reached]
    weight, bias = torch.randn(6, 20, *kernel), torch.randn(6)
    grid = Grid(torch.randint(0, 4, (5, axes)), tuple(Span(1, -1, n, n + 2) for n in left))
    values, of_bias = torch.randn(2, 5, *left, 20), torch.randn(2, 5)
    inside = values.double().masked_fill(grid.outside.unsqueeze(-1), 0)
    padded = functional.pad(inside, [0, 0, *(front, 1) * axes]).flatten(0, 1).movedim(-1, 1)
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[axes - 1]
    found = convolve(padded, weight.double(), None, stride, 0, dilation)
    expected = found.movedim(1, -1).unflatten(0, (2, 5))
    expected += of_bias.reshape(2, 5, *(1,) * (axes + 1)) * bias
    there = Grid(grid.places.to(DEVICE), grid.spans)
    collected = fused_collect.collect(
        values.to(DEVICE), weight.to(DEVICE), stride, dilation, (front,) * axes, window,
        there.reach, of_bias.to(DEVICE), bias.to(DEVICE), precision="ieee",
    )  # fmt: skip
    close(collected, expected)
