"""The kernels of rows in windows compute what the operators compute."""

from __future__ import annotations

import pytest
import torch

from boundmesh.kernels import (
    fused_pools,
    fused_rows,
    fused_spread,
    fused_window_sums,
    fused_windows,
)
from boundmesh.kernels.sums import Collected
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node, Shape
from boundmesh.operators.operator import RULES
from boundmesh.operators.pooled_lines import pulled_grid
from boundmesh.operators.relu import RELU
from boundmesh.operators.unfolding import counts, elements
from boundmesh.operators.window_grid import Grid, Span, reach
from boundmesh.operators.window_lines import pull_window_lines, signed_inner_windows
from boundmesh.operators.window_products import cropped, spread, spread_by_kernel
from boundmesh.operators.windows import Windows, joined
from boundmesh.selfcheck import comparisons
from boundmesh.selfcheck.windows import of_windows
from tests.kernels import DEVICE, INTERPRETED, close, needs_kernels
from tests.rules.test_windows import random_windows

SHAPES = [(1, 3, 7), (1, 2, 5, 6), (1, 2, 4, 3, 5)]


def on_device(windows: Windows) -> Windows:
    return windows.to(DEVICE, torch.float32)


@needs_kernels
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("domains", [1, 2])
def test_sums_over_windows(shape: Shape, domains: int) -> None:
    windows = random_windows(shape, 1, domains)
    below, above = (torch.randn(2, *shape, dtype=torch.float64) for _ in range(2))
    here = on_device(windows)
    found = fused_window_sums.signed_sums(
        here.coefficients,
        here.table(below.to(DEVICE, torch.float32)),
        here.table(above.to(DEVICE, torch.float32)),
        here.grid.reach,
    )
    close(found, signed_inner_windows(windows, below, above))
    again = fused_window_sums.signed_sums(
        here.coefficients,
        here.table(below.to(DEVICE, torch.float32)),
        here.table(above.to(DEVICE, torch.float32)),
        here.grid.reach,
        found[:1],
    )
    close(again, found + found[:1])


@needs_kernels
@pytest.mark.parametrize("shape", [*SHAPES, (1, 128, 8, 9)])
@pytest.mark.parametrize("domains", [1, 2])
def test_rows_collect_biases_and_rounding_errors(shape: Shape, domains: int) -> None:
    windows = random_windows(shape, 1, domains).filled()
    sizes, features = torch.rand(2, *shape).double(), torch.randn(shape[1]).double()
    here, values = on_device(windows), features.to(DEVICE, torch.float32)
    due = here.table(sizes.to(DEVICE, torch.float32))
    before = torch.randn(1, here.count, device=DEVICE)
    error = (windows.coefficients.abs() * windows.read(sizes)).flatten(2).sum(2)
    bias = windows.inner(features)
    rows, reach = here.coefficients, here.grid.reach
    found = fused_window_sums.row_sums(rows, reach, values, Collected(before, 2 * before, due))
    only = fused_window_sums.row_sums(rows, reach, None, Collected(due=due))
    other = fused_window_sums.row_sums(rows, reach, values, Collected())
    assert found.bias is not None and found.error is not None
    close(found.bias, (bias + before.double().cpu()).expand_as(found.bias))
    close(found.error, error + 2 * before.double().cpu())
    assert only.bias is None and only.error is not None
    close(only.error, error)
    assert other.error is None and other.bias is not None
    close(other.bias, bias)


@needs_kernels
@pytest.mark.parametrize("shape", [*SHAPES, (1, 128, 14, 9)])
@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_windows_pulled_back_through_two_pieces(shape: Shape, slope: float) -> None:
    windows = random_windows(shape, 2)
    middle = torch.randn(2, *shape, dtype=torch.float64)
    box = Interval(middle - 0.5, middle + 0.5)
    op = "leaky_relu" if slope else RELU.name
    node = Node("y", op, ("x",), shape, (shape,), {"slope": slope} if slope else {})
    assert RELU.relax is not None and RELU.initial is not None
    lines = RELU.relax(node, (box,), RELU.initial(node, (box,)).unsqueeze(1))
    assert isinstance(lines, Lines)
    expected = pull_window_lines(lines, windows)
    here = on_device(windows)
    lower, upper = (here.table(end.to(DEVICE, torch.float32)) for end in (box.lower, box.upper))
    sizes = torch.rand(2, *shape).double()
    error = (windows.coefficients.abs() * windows.read(sizes)).flatten(2).sum(2)
    before = torch.ones(1, here.count, device=DEVICE)
    due = here.table(sizes.to(DEVICE, torch.float32))
    table = fused_window_sums.lines_of(lower, upper, slope)
    rows, found = fused_window_sums.pull_pieces(
        here.coefficients, table, here.grid.reach, Collected(before, None, due)
    )
    close(rows, expected.windows[0].coefficients)
    assert expected.bias is not None and found.bias is not None and found.error is not None
    close(found.bias, expected.bias + 1)
    close(found.error, error)


@needs_kernels
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_overlapping_columns_are_added_up(axes: int, groups: int) -> None:
    stride, dilation, kernel = (2, 1, 2)[:axes], (1, 2, 1)[:axes], (3, 2, 2)[:axes]
    before = tuple(
        (n - 1) * s + d * (k - 1) + 1 - 2
        for n, s, d, k in zip((7, 6, 5), stride, dilation, kernel, strict=False)
    )
    attributes = {
        "stride": stride, "dilation": dilation, "padding": ((1, 1),) * axes, "groups": groups,
    }  # fmt: skip
    shape, wide = (1, 4, *(7, 6, 5)[:axes]), (1, 6, *before)
    node = Node("y", "conv", ("x",), shape, (wide,), attributes)
    weight = torch.randn(4, 6 // groups, *kernel)
    windows, rule = random_windows(shape, 3, domains=2), RULES["conv"].pull_windows
    assert rule is not None
    expected = rule(node, (weight.double(),), windows)
    assert expected is not None
    (pulled,) = expected.windows
    found = spread_by_kernel(
        on_device(windows).coefficients, weight.to(DEVICE), stride, dilation, groups,
        (0,) * axes, on_device(pulled).grid, most=300,
    )  # fmt: skip
    close(found, pulled.coefficients)


@needs_kernels
def test_kernels_of_one_name_are_not_mistaken_for_each_other() -> None:
    """Rows and windows each have a kernel that is called `signed_sums`."""
    rows = torch.randn(2, 3, 1, 4, 8, device=DEVICE)
    values = torch.randn(2, 1, 1, 4, 8, device=DEVICE)
    expected = (rows * values).flatten(2).sum(2)
    for _ in range(2):
        close(fused_rows.signed_inner(rows, values, values), expected)
        test_sums_over_windows((1, 3, 7), 2)


@needs_kernels
def test_the_comparison_before_the_first_use_agrees() -> None:
    for name, found, expected in of_windows(torch.device(DEVICE)):
        assert comparisons.close(found, expected), name


@needs_kernels
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("precision", ["ieee"] if INTERPRETED else ["ieee", "bf16x6"])
@pytest.mark.parametrize("front", [0, 1])
def test_windows_are_spread_by_one_kernel(axes: int, precision: str, front: int) -> None:
    window, kernel = (3, 4, 2)[:axes], (3, 2, 4)[:axes]
    stride, dilation = (2, 1, 3)[:axes], (1, 2, 1)[:axes]
    reached = [reach(*each) for each in zip(window, kernel, stride, dilation, strict=True)]
    rows, weight = torch.randn(2, 5, *window, 20), torch.randn(20, 7, *kernel)
    left = [length - front - 1 for length in reached]
    places = torch.randint(0, 4, (5, axes))
    grid = Grid(places, tuple(Span(1, -1, length, length + 2) for length in left))
    expected = spread(rows.double(), weight.double(), stride, dilation, 1)
    for axis, length in enumerate(left, 2):
        expected = expected.narrow(axis, front, length)
    expected = expected.masked_fill(grid.outside.unsqueeze(-1), 0)
    there = Grid(places.to(DEVICE), grid.spans)
    found = fused_spread.spread(
        rows.to(DEVICE), weight.to(DEVICE), stride, dilation, (front,) * axes, left, there.reach,
        precision=precision,
    )  # fmt: skip
    close(found, expected)
    how = stride, dilation, 1, (front,) * axes
    columns = spread_by_kernel(rows.to(DEVICE), weight.to(DEVICE), *how, there, most=900)
    close(columns, expected)


@needs_kernels
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("domains", [1, 2])
def test_windows_are_joined_and_filled_by_one_kernel(shape: Shape, domains: int) -> None:
    one = random_windows(shape, 4, domains)
    spans = [Span(s.step, s.shift - 1, s.length + 2, s.whole) for s in one.grid.spans]
    other = Windows(torch.randn(1, one.count, *[s.length for s in spans], shape[1]).double(),
                    one.grid.moved(spans), one.features)  # fmt: skip
    other.coefficients.masked_fill_(other.grid.outside.unsqueeze(-1), 0)
    expected = one.plus(other)
    assert expected is not None
    here, there, grid = on_device(one), on_device(other), on_device(expected).grid
    rows, reach = here.coefficients, here.grid.reach
    found = fused_windows.joined(rows, reach, there.coefficients, there.grid.reach, grid.reach)
    close(found, expected.coefficients)
    found = fused_windows.joined(rows, reach, None, None, grid.filled().reach)
    close(found, one.filled().coefficients)
    close(here.filled().dense(), one.dense())


@needs_kernels
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_of_joined_windows_are_read_at_the_windows(shape: Shape) -> None:
    one = random_windows(shape, 4, 2)
    spans = [Span(s.step, s.shift - 1, s.length + 2, s.whole) for s in one.grid.spans]
    rows = torch.randn(1, one.count, *[s.length for s in spans], shape[1]).double()
    other = Windows(rows, one.grid.moved(spans), one.features)
    other.coefficients.masked_fill_(other.grid.outside.unsqueeze(-1), 0)
    leaves = [each.coefficients.clone().requires_grad_() for each in (one, other)]
    expected = one.with_coefficients(leaves[0]).plus(other.with_coefficients(leaves[1]))
    assert expected is not None
    gradient = torch.randn(expected.coefficients.shape).double()
    expected_gradients = torch.autograd.grad(expected.coefficients, leaves, gradient)
    here = [each.to(DEVICE, torch.float32).requires_grad_() for each in leaves]
    grids = [Grid(each.grid.places.to(DEVICE), each.grid.spans) for each in (one, other, expected)]
    found = joined(here[0], grids[0], here[1], grids[1], grids[2])
    close(found, expected.coefficients)
    given = gradient.to(DEVICE, torch.float32)
    for mine, its in zip(torch.autograd.grad(found, here, given), expected_gradients, strict=True):
        close(mine, its)


@needs_kernels
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("full", [False, True])
def test_windows_are_pulled_through_pools_by_one_kernel(axes: int, full: bool) -> None:
    kernel, stride, dilation = (3, 2, 2)[:axes], (2, 1, 2)[:axes], (1, 2, 1)[:axes]
    before = (9, 7, 6)[:axes]
    padding = ((1, 1), (1, 0), (0, 0))[:axes]
    node = Node("y", "max_pool", ("x",), (), ((1, 4, *before),), {
        "kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding,
    })  # fmt: skip
    shape = (1, 4, *counts(node))
    windows = random_windows(shape, axes, domains=2)
    windows = windows.filled() if full else windows
    grid = pulled_grid(node, windows)
    assert grid is not None
    slopes = torch.randn(2, len([*elements(node, counts(node))]), *shape)
    lengths = [
        reach(*each) for each in zip(windows.grid.window, kernel, stride, dilation, strict=True)
    ]
    whole = torch.zeros(2, windows.count, *lengths, 4, dtype=torch.float64)
    for k, at in enumerate(elements(node, windows.grid.window, after=1)):
        whole[at] += windows.coefficients * windows.read(slopes[:, k].double().unsqueeze(1))
    front = windows.grid.left_out(grid, stride, padding)
    expected = cropped(whole, front, grid.window).masked_fill(grid.outside.unsqueeze(-1), 0)
    here = on_device(windows)
    table = slopes.squeeze(2).flatten(3).mT.to(DEVICE)
    into = Grid(here.grid.places, grid.spans).reach
    found = fused_pools.pooled(
        here.coefficients, table, kernel, stride, dilation, front, here.grid.reach, into
    )
    close(found, expected)
