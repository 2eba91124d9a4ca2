"""Compares the kernels of rows in windows with the rules of the operators."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch

from boundmesh.kernels import fused_pools, fused_spread, fused_window_sums, fused_windows
from boundmesh.kernels.sums import Collected
from boundmesh.operators.convolution import CONV
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.max_pool import MAX_POOL
from boundmesh.operators.node import Node
from boundmesh.operators.pooled_lines import PooledLines
from boundmesh.operators.relu import RELU
from boundmesh.operators.window_lines import pull_window_lines, signed_inner_windows
from boundmesh.operators.window_products import spread_by_kernel
from boundmesh.operators.window_sums import sums_of_magnitudes
from boundmesh.operators.windows import Windows
from boundmesh.selfcheck.comparisons import Comparison, trusted
from boundmesh.selfcheck.sample_windows import sample_windows

FEATURES, LONG = 5, 128
"""Numbers of features; kernels divide a row of the map with LONG features into parts."""


@cache
def windows_agree(device: torch.device) -> bool:
    """Return True if the kernels of rows in windows on `device` agree with the operators."""
    return trusted(device, of_windows)


def of_windows(device: torch.device) -> Iterator[Comparison]:
    """Compare sums over windows, windows pulled back through a ReLU, and through a convolution."""
    generator = torch.Generator().manual_seed(0)
    exact, middle = sample_windows(2, FEATURES, generator)
    here, shape = exact.to(device, torch.float32), exact.shape
    box = Interval(middle - 0.5, middle + 0.5)
    low, high = (here.table(end.to(device)) for end in (box.lower, box.upper))
    wide = Interval(box.lower.double(), box.upper.double())
    with torch.no_grad():
        computed = fused_window_sums.signed_sums(here.coefficients, low, high, here.grid.reach)
        yield "sums over windows", computed, signed_inner_windows(exact, wide.lower, wide.upper)
        reach, whole = here.grid.reach, here.grid.filled().reach
        computed = fused_windows.joined(here.coefficients, reach, None, None, whole)
        yield "windows that are filled", computed, exact.filled().coefficients
        node = Node("y", RELU.name, ("x",), shape, (shape,))
        assert RELU.relax is not None and RELU.initial is not None
        lines = RELU.relax(node, (wide,), RELU.initial(node, (wide,)).unsqueeze(1))
        assert isinstance(lines, Lines)
        pulled = pull_window_lines(lines, exact)
        table = fused_window_sums.lines_of(low, high, 0.0)
        after_relu, collected = fused_window_sums.pull_pieces(
            here.coefficients, table, reach, Collected()
        )
        yield "windows through a ReLU", after_relu, pulled.windows[0].coefficients
        assert collected.bias is not None and pulled.bias is not None
        yield "biases of windows", collected.bias, pulled.bias
        yield from of_sums(device)
        yield from of_pool(here, exact)
    yield from of_convolution(here, exact)


def of_sums(device: torch.device) -> Iterator[Comparison]:
    """Compare what rows collect: short rows, and whole maps that kernels divide into parts."""
    generator = torch.Generator().manual_seed(3)
    for features in (FEATURES, LONG):
        windows, middle = sample_windows(2, features, generator)
        exact, values = windows.filled(), torch.randn(features, generator=generator).double()
        here, sizes = exact.to(device, torch.float32), middle.double().abs()
        due = here.table(sizes.to(device, torch.float32))
        zeros = due.new_zeros(1, here.count)
        rows, vector = here.coefficients, values.to(device, torch.float32)
        before = Collected(zeros, zeros, due)
        computed = fused_window_sums.row_sums(rows, here.grid.reach, vector, before)
        assert computed.bias is not None and computed.error is not None
        yield "biases of features", computed.bias, exact.inner_features(values)
        expected = sums_of_magnitudes(exact.read(sizes) * exact.coefficients)
        yield "rounding errors of windows", computed.error, expected


def of_pool(here: Windows, exact: Windows) -> Iterator[Comparison]:
    """Compare windows pulled back through a max pool whose maxima bounds decide."""
    (_, wide, *lengths), kernel, stride, dilation = exact.shape, (3, 2), (2, 1), (1, 1)
    before = (1, wide, 2 * lengths[0], lengths[1])
    attributes = {
        "kernel": kernel, "stride": stride, "dilation": dilation, "padding": ((1, 0), (0, 1)),
    }  # fmt: skip
    node = Node("y", MAX_POOL.name, ("x",), exact.shape, (before,), attributes)
    point = torch.rand(1, *before, generator=torch.Generator().manual_seed(2)).double()
    box = Interval(point, point)
    assert MAX_POOL.relax is not None and MAX_POOL.initial is not None
    lines = MAX_POOL.relax(node, (box,), MAX_POOL.initial(node, (box,)).unsqueeze(1))
    assert isinstance(lines, PooledLines)
    pulled = lines.pull_windows(exact)
    assert pulled is not None
    (expected,) = pulled.windows
    device = here.coefficients.device
    into = expected.to(device, torch.float32).grid.reach
    table = lines.open.table.to(device, torch.float32)
    computed = fused_pools.pooled(
        here.coefficients, table, kernel, stride, dilation, (0, 0), here.grid.reach, into
    )
    yield "windows through a pool", computed, expected.coefficients


def of_convolution(here: Windows, exact: Windows) -> Iterator[Comparison]:
    """Compare overlaps that are added up by the kernel, in two parts, with the rule."""
    (_, wide, *lengths), stride, dilation = exact.shape, (2, 1), (1, 2)
    before = (1, 3, 2 * lengths[0], lengths[1] + 2)
    attributes = {
        "stride": stride, "dilation": dilation, "padding": ((1, 0), (1, 1)), "groups": 1,
    }  # fmt: skip
    node = Node("y", CONV.name, ("x",), exact.shape, (before,), attributes)
    weight = torch.randn(wide, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    rule = CONV.pull_windows
    assert rule is not None
    expected = rule(node, (weight.double(),), exact)
    assert expected is not None
    (pulled,) = expected.windows
    device = here.coefficients.device
    grid = pulled.to(device, torch.float32).grid
    most = here.count * prod_of(here) * 9 * 3
    with torch.no_grad():
        computed = spread_by_kernel(
            here.coefficients, weight.to(device), stride, dilation, 1, (0, 0), grid, most
        )
        yield "windows through a convolution", computed, pulled.coefficients
        for precision in ("ieee", "bf16x6")[: 1 + fused_spread.usable(device)]:
            computed = fused_spread.spread(
                here.coefficients, weight.to(device), stride, dilation, (0, 0), grid.window,
                grid.reach, precision=precision,
            )  # fmt: skip
            yield f"windows through a convolution in {precision}", computed, pulled.coefficients


def prod_of(windows: Windows) -> int:
    """Return the number of places of a window."""
    return windows.coefficients.shape[2:-1].numel()
