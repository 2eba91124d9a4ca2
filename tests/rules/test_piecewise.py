"""Relu, LeakyRelu, Abs and Max: where their lines lie."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from tests.rules.samples import inputs_in, points_in

PIECES = [("relu", 0.0), ("leaky_relu", 0.1), ("abs", -1.0)]
each_piece = pytest.mark.parametrize(("op", "slope"), PIECES)

LOWER = torch.tensor([[-3.0, -1.0, -2.0, 0.0, 1.0, -4.0, -1.0, 0.0, -1e-7, -1e-30]])
UPPER = torch.tensor([[1.0, 3.0, 2.0, 2.0, 5.0, -1.0, 0.0, 0.0, 1e-7, 50.0]])


def box_of(lower: Tensor = LOWER, upper: Tensor = UPPER) -> Interval:
    return Interval(lower.double(), upper.double())


def node_of(op: str, slope: float) -> Node:
    shape = tuple(LOWER.shape[1:])
    return Node("n", op, ("x",), shape, (shape,), {"slope": slope} if op == "leaky_relu" else {})


def lines_of(op: str, slope: float, alpha: float, box: Interval) -> Any:
    return RULES[op].relax(
        node_of(op, slope), (box,), torch.full_like(box.lower, alpha).unsqueeze(1)
    )


def value(op: str, slope: float, x: Tensor) -> Tensor:
    return RULES[op].forward(node_of(op, slope), (), x)


@each_piece
def test_lower_line_passes_through_zero_with_a_slope_that_alpha_moves(
    op: str, slope: float
) -> None:
    box = box_of()
    open_ones = RULES[op].unstable(node_of(op, slope), (box,))
    for alpha in (0.0, 0.25, 1.0):
        lines = lines_of(op, slope, alpha, box)
        assert lines.lower_intercept is None
        expected = torch.full_like(box.lower, slope + alpha * (1 - slope))
        torch.testing.assert_close(lines.lower_slopes[0][:, 0][open_ones], expected[open_ones])


@each_piece
def test_upper_line_meets_the_function_at_both_ends(op: str, slope: float) -> None:
    box = box_of()
    lines = lines_of(op, slope, 0.5, box)
    assert lines.upper_intercept is not None
    for end in (box.lower, box.upper):
        line = lines.upper_slopes[0][:, 0] * end + lines.upper_intercept[:, 0]
        torch.testing.assert_close(line, value(op, slope, end))


@each_piece
def test_both_lines_are_the_piece_itself_where_the_sign_is_known(op: str, slope: float) -> None:
    lower = torch.tensor([[0.0, 1e-30, 0.3, 7.0, -9.0, -1e-30, -0.3, -3.0]])
    upper = torch.tensor([[0.1, 1e-20, 0.7, 9.0, 0.0, 0.0, -0.1, -1e-9]])
    for dtype in (torch.float32, torch.float64):
        box = Interval(lower.to(dtype), upper.to(dtype))
        piece = torch.where(upper > 0, 1, torch.tensor(slope, dtype=dtype))
        lines = lines_of(op, slope, 0.3, box)
        assert torch.equal(lines.lower_slopes[0][:, 0], piece)
        assert torch.equal(lines.upper_slopes[0][:, 0], piece)
        assert lines.upper_intercept is not None and not lines.upper_intercept.any()


@each_piece
def test_initial_lower_line_leaves_the_smaller_area(op: str, slope: float) -> None:
    box = box_of()
    first = RULES[op].initial(node_of(op, slope), (box,))
    middle = (box.lower + box.upper) / 2
    best = torch.maximum(middle, slope * middle)
    open_ones = RULES[op].unstable(node_of(op, slope), (box,))
    lines = RULES[op].relax(node_of(op, slope), (box,), first.unsqueeze(1))
    line = lines.lower_slopes[0][:, 0] * middle
    torch.testing.assert_close(line[open_ones], best[open_ones])


@each_piece
def test_the_two_pieces_meet_at_the_split_point(op: str, slope: float) -> None:
    point = RULES[op].split_point(node_of(op, slope))
    box = box_of()
    for left, right in (
        (box.lower, box.upper.clamp(max=point)),
        (box.lower.clamp(min=point), box.upper),
    ):
        half = Interval(left, torch.maximum(left, right))
        assert not RULES[op].unstable(node_of(op, slope), (half,)).any()


def test_the_interval_of_abs_is_attained() -> None:
    box = box_of()
    found = RULES["abs"].interval(node_of("abs", -1), (), box)
    inside = torch.stack(
        [*points_in(box, 200), torch.zeros_like(box.lower).clamp(box.lower, box.upper)]
    )
    assert torch.equal(found.lower, inside.abs().amin(0))
    assert torch.equal(found.upper, inside.abs().amax(0))


def max_node(count: int) -> Node:
    return Node("m", "max", ("x",), (1,), ((1, count),), {"axis": 1})


def max_lines(lower: list[float], upper: list[float], alpha: Tensor | None = None) -> Any:
    box = Interval(torch.tensor([[lower]]), torch.tensor([[upper]]))
    node = max_node(len(lower))
    first = RULES["max"].initial(node, (box,)).unsqueeze(1) if alpha is None else alpha
    return RULES["max"].relax(node, (box,), first)


def test_max_is_exact_where_one_input_is_above_all_others() -> None:
    lines = max_lines([-1.0, 2.0, 0.0], [1.0, 5.0, 2.0], torch.zeros(1, 1, 1, 3))
    expected = torch.tensor([0.0, 1.0, 0.0])
    assert torch.equal(lines.lower_slopes[0].flatten(), expected)
    assert torch.equal(lines.upper_slopes[0].flatten(), expected)
    assert lines.upper_intercept is not None and not lines.upper_intercept.any()


def test_lower_line_of_max_is_the_input_with_the_largest_lower_bound() -> None:
    lines = max_lines([-1.0, 0.5, 0.0], [9.0, 1.0, 3.0])
    assert torch.equal(lines.lower_slopes[0].flatten(), torch.tensor([0.0, 1.0, 0.0]))


def test_upper_line_of_max_is_a_chord_in_the_input_that_reaches_highest() -> None:
    lines = max_lines([-1.0, 0.5, 0.0], [9.0, 1.0, 3.0])
    assert lines.upper_intercept is not None
    slope, intercept = lines.upper_slopes[0].flatten(), lines.upper_intercept.item()
    assert slope[1] == slope[2] == 0
    assert slope[0].item() * 9 + intercept == pytest.approx(9)
    assert slope[0].item() * -1 + intercept == pytest.approx(3)


def test_upper_line_of_max_is_never_above_the_largest_upper_bound() -> None:
    node = max_node(5)
    generator = torch.Generator().manual_seed(2)
    lower = torch.randn(200, 1, 5, generator=generator, dtype=torch.float64)
    upper = lower + torch.rand(200, 1, 5, generator=generator, dtype=torch.float64)
    box = Interval(lower, upper)
    lines = RULES["max"].relax(node, (box,), RULES["max"].initial(node, (box,)).unsqueeze(1))
    assert lines.upper_intercept is not None
    for (x,) in inputs_in((box,), 10):
        line = (lines.upper_slopes[0][:, 0] * x).sum(2) + lines.upper_intercept[:, 0]
        assert (line <= upper.amax(2) + 1e-12).all()
