"""Rows in windows: they are the dense rows with fewer numbers, at every operator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boundmesh.operators.inner_products import inner
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node, Shape
from boundmesh.operators.operator import RULES
from boundmesh.operators.window_grid import Grid, Span
from boundmesh.operators.window_lines import (
    SparseLines,
    WindowRelaxation,
    pull_window_lines,
    signed_inner_windows,
)
from boundmesh.operators.windows import Windows, unit_windows
from tests.rules.samples import AFFINE, NONLINEAR, Sample, name_of

ROWS = 5


def random_windows(
    shape: Shape, seed: int, domains: int = 1, room: int = 2, features: int = 2
) -> Windows:
    """Windows of random places, which reach over the ends of the map by up to `room`."""
    generator = torch.Generator().manual_seed(seed)

    def below(high: int) -> int:
        return int(torch.randint(0, high, (), generator=generator))

    spans, places = [], []
    for whole in shape[features:]:
        step, length = 1 + below(2), 1 + below(whole)
        spans.append(Span(step, -below(room + 1), length, whole))
        places.append(torch.randint(0, -(-whole // step), (ROWS,), generator=generator))
    grid = Grid(torch.stack(places, 1), tuple(spans))
    wide = torch.Size(shape[:features]).numel()
    values = torch.randn(
        domains, ROWS, *grid.window, wide, generator=generator, dtype=torch.float64
    )
    values = values.masked_fill(grid.outside.unsqueeze(-1), 0)
    return Windows(values, grid, shape[:features])


def is_zero_outside(windows: Windows) -> bool:
    return not windows.coefficients[:, windows.grid.outside].any()


def windows_pass(each: Sample) -> bool:
    """Whether an operator's rule has windows for windows of the sample's output."""
    rule, shape = each.operator.pull_windows, each.node.shape
    nothing = torch.empty(0, dtype=torch.float64)
    rows = unit_windows(nothing.long(), nothing, shape, spatial_of(each.node))
    return rule is not None and rule(each.node, each.weights, rows) is not None


def spatial_of(node: Node) -> int:
    """How many axes of a sample's maps are spatial; of five axes behind two of features, two."""
    return 2 if node.op in ("reshape", "transpose") else len(node.shape) - 2


MAPS = [
    each
    for each in AFFINE
    if each.operator.pull_windows is not None
    and len(each.node.shape) > 2
    and each.node.shape[0] == 1
    and windows_pass(each)
]


@pytest.mark.parametrize("each", MAPS, ids=name_of)
@pytest.mark.parametrize("seed", range(4))
def test_windows_pulled_back_are_the_dense_rows_pulled_back(each: Sample, seed: int) -> None:
    features = len(each.node.shape) - spatial_of(each.node)
    windows = random_windows(each.node.shape, seed, domains=1 + seed % 2, features=features)
    compare(each.node, each.weights, windows)


def compare(node: Node, weights: tuple[Tensor, ...], windows: Windows) -> None:
    operator = RULES[node.op]
    assert operator.pull_windows is not None and operator.pull is not None
    expected = operator.pull(node, weights, windows.dense())
    for rows in (windows, windows.filled()):
        found = operator.pull_windows(node, weights, rows)
        assert found is not None
        assert all(is_zero_outside(each) for each in found.windows)
        written = [each.dense() for each in found.windows]
        torch.testing.assert_close(written, [*expected.coefficients])
        bias = found.all_bias(rows)
        assert (bias is None) == (expected.bias is None)
        if bias is not None:
            torch.testing.assert_close(bias, expected.bias)


@pytest.mark.parametrize("each", MAPS, ids=name_of)
@pytest.mark.parametrize("full", [False, True])
def test_gradients_of_products_in_windows_are_those_of_autograd(each: Sample, full: bool) -> None:
    operator, windows = RULES[each.node.op], random_windows(each.node.shape, 5, domains=2)
    if operator.forward_windows is None or operator.pull_windows is None:
        pytest.skip("the operator multiplies by no weight")
    windows = windows.filled() if full else windows
    pulled = operator.pull_windows(each.node, each.weights, windows)
    assert pulled is not None
    ((there,), bias) = pulled.windows, pulled.bias
    values = there.with_coefficients(torch.randn_like(there.coefficients))
    of_bias = None if bias is None else torch.randn_like(bias)
    found = operator.forward_windows(each.node, each.weights, values, windows.grid, of_bias)
    total = (there.coefficients * values.coefficients).flatten(2).sum(2)
    if bias is not None and of_bias is not None:
        total += bias * of_bias
    torch.testing.assert_close((windows.coefficients * found).flatten(2).sum(2), total)


def test_every_operator_with_the_rule_is_among_the_samples() -> None:
    have = {name for name, operator in RULES.items() if operator.pull_windows is not None}
    assert {each.node.op for each in MAPS} == have


def test_every_form_of_convolution_is_among_the_samples() -> None:
    convolutions = [each.node for each in MAPS if each.node.op == "conv"]
    assert {len(node.shape) for node in convolutions} == {3, 4, 5}
    assert {node["groups"] > 1 for node in convolutions} == {True, False}


@pytest.mark.parametrize("seed", range(12))
def test_rows_times_a_convolution_equal_pulled_windows_times_its_input(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    axes, groups = 1 + seed % 3, 1 + seed % 2
    wide, out = groups * draw(1, 3), groups * draw(1, 3)
    stride = tuple(draw(1, 4) for _ in range(axes))
    dilation = tuple(draw(1, 3) for _ in range(axes))
    kernel = tuple(draw(1, 4) for _ in range(axes))
    padding = tuple((draw(0, 3), draw(0, 3)) for _ in range(axes))
    spatial = tuple(draw(5, 9) for _ in range(axes))
    shape = tuple(
        (n + a + b - d * (k - 1) - 1) // s + 1
        for n, (a, b), d, k, s in zip(spatial, padding, dilation, kernel, stride, strict=True)
    )
    attributes = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
    before = (1, wide, *spatial)
    node = Node("conv", "conv", ("x",), (1, out, *shape), (before,), attributes)
    weights = (
        torch.randn(out, wide // groups, *kernel, generator=generator, dtype=torch.float64),
        torch.randn(out, generator=generator, dtype=torch.float64),
    )
    windows, operator = random_windows(node.shape, seed), RULES["conv"]
    assert operator.pull_windows is not None
    pulled = operator.pull_windows(node, weights, windows)
    assert pulled is not None
    bias = pulled.all_bias(windows)
    assert bias is not None
    x = torch.randn(1, *before, generator=generator, dtype=torch.float64)
    output = operator.forward(node, weights, x)
    torch.testing.assert_close(
        inner(windows.dense(), output.unsqueeze(1)),
        inner(pulled.windows[0].dense(), x.unsqueeze(1)) + bias,
    )


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("behind", [0, 1, 2])
def test_windows_between_the_outputs_of_a_transposed_convolution_become_zero(
    kernel: int, stride: int, behind: int
) -> None:
    length = 4 * stride + kernel + behind
    attributes = {
        "stride": (stride,), "dilation": (1,), "padding": ((0, 0),), "groups": 1,
    }  # fmt: skip
    node = Node("y", "conv_transpose", ("x",), (1, 3, length), ((1, 2, 5),), attributes)
    weights = torch.randn(2, 3, kernel).double(), torch.randn(3).double()
    places = torch.arange(length).unsqueeze(1)
    for step, size in ((1, 1), (1, 2), (stride, 1), (stride, 2), (2, 1)):
        for shift in range(-1, stride):
            count = -(-length // step)
            grid = Grid(places[:count], (Span(step, shift, size, length),))
            rows = torch.randn(1, count, size, 3).double()
            compare(
                node,
                weights,
                Windows(rows.masked_fill(grid.outside.unsqueeze(-1), 0), grid, (1, 3)),
            )


@pytest.mark.parametrize("shape", [(1, 3, 7), (1, 2, 5, 6), (1, 2, 4, 3, 5)])
@pytest.mark.parametrize("seed", range(3))
def test_reading_is_the_transpose_of_writing_out(shape: Shape, seed: int) -> None:
    windows = random_windows(shape, seed)
    values = torch.randn(1, 1, *shape, dtype=torch.float64)
    read = windows.read(values)
    assert not read[:, windows.grid.outside].any()
    torch.testing.assert_close(windows.inner(read), inner(windows.dense(), values))


@pytest.mark.parametrize("shape", [(1, 3, 7), (1, 2, 5, 6), (1, 2, 4, 3, 5)])
def test_windows_of_unit_rows_are_unit_rows(shape: Shape) -> None:
    size = torch.Size(shape).numel()
    index, sign = torch.arange(size), torch.ones(size).index_fill(0, torch.arange(0, size, 2), -1)
    windows = unit_windows(index, sign, shape, len(shape) - 2)
    assert torch.equal(windows.dense().reshape(size, size), torch.diag(sign))


@pytest.mark.parametrize("seed", range(6))
def test_sums_of_windows_are_sums_of_rows(seed: int) -> None:
    one = random_windows((1, 2, 6, 5), seed)
    spans = tuple(
        Span(span.step, span.shift + seed % 3 - 1, 1 + axis, span.whole)
        for axis, span in enumerate(one.grid.spans)
    )
    grid = Grid(one.grid.places, spans)
    values = torch.randn(1, ROWS, *grid.window, 2, dtype=torch.float64)
    other = Windows(values.masked_fill(grid.outside.unsqueeze(-1), 0), grid, (1, 2))
    total = one.plus(other)
    assert total is not None and is_zero_outside(total)
    torch.testing.assert_close(total.dense(), one.dense() + other.dense())


def test_windows_that_drift_apart_have_no_sum_in_windows() -> None:
    one = random_windows((1, 2, 6, 5), 0)
    spans = tuple(
        Span(span.step + 1, span.shift, span.length, span.whole) for span in one.grid.spans
    )
    other = Windows(one.coefficients, Grid(one.grid.places, spans), one.features)
    assert one.plus(other) is None


def test_windows_that_are_counted_from_other_places_have_no_sum_in_windows() -> None:
    one = random_windows((1, 2, 6, 5), 0)
    grid = Grid(one.grid.places + 1, one.grid.spans, origin="upsampled")
    other = Windows(one.coefficients, grid, one.features)
    assert one.plus(other) is None
    total = one.filled().plus(other.filled())
    assert total is not None
    torch.testing.assert_close(total.dense(), one.dense() + other.dense())


@pytest.mark.parametrize("intercepts", [(False, False), (False, True), (True, False), (True, True)])
def test_lines_pull_windows_as_they_pull_dense_rows(intercepts: tuple[bool, bool]) -> None:
    windows = random_windows((1, 3, 6, 5), 1)
    maps = [torch.randn(2, 1, 1, 3, 6, 5, dtype=torch.float64) for _ in range(4)]
    below, above = (
        each if given else None for each, given in zip(maps[2:], intercepts, strict=True)
    )
    lines = Lines((maps[0],), (maps[1],), below, above)
    found, expected = pull_window_lines(lines, windows), lines.pull(windows.dense())
    torch.testing.assert_close(found.windows[0].dense(), expected.only)
    if expected.bias is None:
        assert found.bias is None
    else:
        torch.testing.assert_close(found.bias, expected.bias)


def test_the_minimum_over_a_box_is_that_of_dense_rows() -> None:
    windows = random_windows((1, 3, 6, 5), 2)
    lower = torch.randn(2, 1, 3, 6, 5, dtype=torch.float64)
    upper = lower + torch.rand_like(lower)
    dense = windows.dense()
    expected = inner(dense.clamp(min=0), lower.unsqueeze(1)) + inner(
        dense.clamp(max=0), upper.unsqueeze(1)
    )
    torch.testing.assert_close(signed_inner_windows(windows, lower, upper), expected)


@pytest.mark.parametrize("gradients", [False, True])
def test_an_infinite_bound_counts_only_where_a_coefficient_of_its_sign_reads_it(
    gradients: bool,
) -> None:
    grid = Grid(torch.tensor([[1]]), (Span(1, 0, 2, 4),))
    windows = Windows(torch.tensor([[[[1.0], [-2.0]]]]), grid, (1,))
    lower = torch.tensor([[[0.0, 0.0, -torch.inf, 0.0]]])
    upper = torch.tensor([[[1.0, torch.inf, 3.0, 1.0]]])
    with torch.set_grad_enabled(gradients):
        assert signed_inner_windows(windows, lower, upper).item() == -6
    zero, line = torch.zeros(1, 1, 1, 4), torch.tensor([0.5, 0.25]).reshape(1, 1, 2)
    ends = (each.reshape(1, 1, 4)[..., 1:3] for each in (lower, upper))
    own = SparseLines(zero, torch.tensor([1, 2]), Lines((line,), (2 * line,), *ends))
    with torch.no_grad():
        bias = own.pull(windows).bias
    assert bias is not None and bias.item() == -6


@pytest.mark.parametrize("domains", [1, 2])
def test_sparse_lines_are_the_lines(domains: int) -> None:
    windows = random_windows((1, 3, 6, 5), 3, domains)
    index = torch.tensor([2, 17, 40, 41, 89])
    generator = torch.Generator().manual_seed(4)
    slopes, below, above = (
        torch.randn(2, 1, 90, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    own = Lines((below[..., index],), (above[..., index],), None, above[..., index])
    lower, upper = (slopes.index_copy(2, index, each[..., index]) for each in (below, above))
    intercept = torch.zeros_like(above).index_copy(2, index, above[..., index])
    shape = (2, 1, 1, 3, 6, 5)
    lines = Lines((lower.reshape(shape),), (upper.reshape(shape),), None, intercept.reshape(shape))
    sparse = SparseLines(slopes.index_fill(2, index, 0).reshape(shape), index, own)
    found, expected = sparse.pull(windows), pull_window_lines(lines, windows)
    torch.testing.assert_close(found.windows[0].coefficients, expected.windows[0].coefficients)
    torch.testing.assert_close(found.bias, expected.bias)


POOLS = [each for each in NONLINEAR if each.node.op == "max_pool" and each.node.shape[0] == 1]


@torch.no_grad()
@pytest.mark.parametrize("each", POOLS, ids=name_of)
@pytest.mark.parametrize("width", [0.0, 0.02, 4.0])
@pytest.mark.parametrize("seed", range(4))
def test_pools_pull_windows_as_they_pull_dense_rows(each: Sample, width: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    lower, share = (
        torch.rand(3, *each.node.input_shapes[0], generator=generator, dtype=torch.float64)
        for _ in range(2)
    )
    boxes = (Interval(lower, lower + width * share),)
    rule, start = each.operator.relax, each.operator.initial
    assert rule is not None and start is not None
    lines = rule(each.node, boxes, start(each.node, boxes).unsqueeze(1))
    assert isinstance(lines, WindowRelaxation)
    windows = random_windows(each.node.shape, seed, domains=1 if seed % 2 else 3)
    expected = lines.pull(windows.dense())
    for rows in (windows, windows.filled()):
        found = lines.pull_windows(rows)
        assert found is not None and expected.bias is not None
        assert is_zero_outside(found.windows[0])
        torch.testing.assert_close(
            found.windows[0].dense(), expected.only.expand(3, -1, *expected.only.shape[2:])
        )
        bias = torch.zeros_like(expected.bias) if found.bias is None else found.bias
        torch.testing.assert_close(bias, expected.bias)
