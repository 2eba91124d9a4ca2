"""Smooth operators: lines that hold without any tolerance, and as tight as their definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node

COUNT, POINTS = 1500, 101
WIDTHS = (-7.5, 3.0)  # powers of ten

CASES = [
    ("sigmoid", -500.0, 500.0, {}),
    ("sigmoid", -6.0, 6.0, {}),
    ("tanh", -500.0, 500.0, {}),
    ("tanh", -4.0, 4.0, {}),
    ("sin", -40.0, 90.0, {}),
    ("cos", -7.0, 7.0, {}),
    ("exp", -60.0, 60.0, {}),
    ("log", 1e-4, 50.0, {}),
    ("sqrt", 0.0, 9.0, {}),
    ("reciprocal", 1e-3, 50.0, {}),
    ("reciprocal", -50.0, -1e-3, {}),
    ("erf", -6.0, 6.0, {}),
    ("atan", -50.0, 50.0, {}),
    ("softsign", -50.0, 50.0, {}),
    ("asinh", -50.0, 50.0, {}),
    ("tan", -1.5, 1.5, {}),
    ("softplus", -60.0, 60.0, {}),
    ("elu", -9.0, 9.0, {"alpha": 0.5}),
    ("elu", -9.0, 9.0, {"alpha": 1.0}),
    ("gelu", -6.0, 6.0, {}),
    ("gelu", -300.0, 300.0, {}),
    ("gelu_tanh", -6.0, 6.0, {"factor": 0.7978845608028654, "cubic": 0.044715}),
    ("silu", -12.0, 12.0, {}),
    ("mish", -12.0, 12.0, {}),
    ("hard_swish", -6.0, 6.0, {}),
    ("floor", -5.0, 5.0, {}),
    ("floor", -900.0, 5.0, {}),
    ("power", -5.0, 5.0, {"exponent": 2.0}),
    ("power", -5.0, 5.0, {"exponent": 3.0}),
    ("power", -5.0, 5.0, {"exponent": 7.0}),
    ("power", 0.01, 9.0, {"exponent": -0.5}),
    ("power", 0.01, 9.0, {"exponent": 0.4}),
]
each_case = pytest.mark.parametrize(("op", "low", "high", "attributes"), CASES)


def node_of(op: str, attributes: dict[str, float], count: int = COUNT) -> Node:
    return Node("n", op, ("x",), (count,), ((count,),), attributes)


def boxes_of_all_widths(low: float, high: float, dtype: torch.dtype) -> Interval:
    """Boxes `[1, COUNT]` from the width of rounding up to the whole range."""
    generator = torch.Generator().manual_seed(11)
    center, left, right, power = torch.rand(4, 1, COUNT, generator=generator, dtype=torch.float64)
    center = low + (high - low) * center
    width = 10 ** (WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * power)
    lower = (center - width * left).clamp(low, high)
    upper = (center + width * right).clamp(low, high)
    return Interval(lower.to(dtype), upper.to(dtype))


def lines_at(lines: Lines, x: Tensor) -> tuple[Tensor, Tensor]:
    """Both lines in float64 at points `[*, 1, COUNT]`."""
    assert lines.lower_intercept is not None and lines.upper_intercept is not None
    (below,), (above,) = lines.lower_slopes, lines.upper_slopes
    lower = below[:, 0].double() * x + lines.lower_intercept[:, 0].double()
    return lower, above[:, 0].double() * x + lines.upper_intercept[:, 0].double()


def dense(box: Interval) -> Tensor:
    """Points of the box, `[POINTS, 1, COUNT]` in float64."""
    share = torch.linspace(0, 1, POINTS, dtype=torch.float64)[:, None, None]
    lower, upper = box.lower.double(), box.upper.double()
    return (lower + share * (upper - lower)).clamp(lower, upper)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, None])
@each_case
def test_float32_lines_hold_the_exact_function_without_tolerance(
    op: str, low: float, high: float, attributes: dict[str, float], alpha: float | None
) -> None:
    node, box = node_of(op, attributes), boxes_of_all_widths(low, high, torch.float32)
    first = RULES[op].initial(node, (box,))
    chosen = first if alpha is None else torch.full_like(first, alpha)
    x = dense(box)
    below, above = lines_at(RULES[op].relax(node, (box,), chosen.unsqueeze(1)), x)
    exact = RULES[op].forward(node, (), x)
    rounding = 1e-13 * (1 + exact.abs() + below.abs() + above.abs())
    assert (below <= exact + rounding).all()
    assert (exact <= above + rounding).all()


@each_case
def test_lines_of_a_wide_box_are_no_looser_than_the_interval(
    op: str, low: float, high: float, attributes: dict[str, float]
) -> None:
    """In the mean over the box, and where the interval is itself a pair of constant lines."""
    node, box = node_of(op, attributes), boxes_of_all_widths(low, high, torch.float64)
    first = RULES[op].initial(node, (box,))
    below, above = lines_at(RULES[op].relax(node, (box,), first.unsqueeze(1)), dense(box))
    found = RULES[op].interval(node, (), box)
    width = found.upper - found.lower + 1e-9 * (1 + found.upper.abs() + found.lower.abs())
    assert ((above - below).mean(0) <= width).all()


@pytest.mark.parametrize(("op", "sign"), [("exp", 1), ("log", -1), ("sqrt", -1)])
def test_bent_functions_have_the_chord_and_the_tangent_in_the_middle(op: str, sign: int) -> None:
    box = Interval(torch.tensor([[0.5]]).double(), torch.tensor([[2.5]]).double())
    node = node_of(op, {}, 1)
    lines = RULES[op].relax(node, (box,), RULES[op].initial(node, (box,)).unsqueeze(1))
    ends = torch.tensor([[[0.5]], [[2.5]]]).double()
    middle = torch.tensor([[[1.5]]]).double()
    tangent = lines_at(lines, middle)[(1 - sign) // 2]
    chord = lines_at(lines, ends)[(1 + sign) // 2]
    torch.testing.assert_close(tangent, RULES[op].forward(node, (), middle))
    torch.testing.assert_close(chord, RULES[op].forward(node, (), ends))


@pytest.mark.parametrize(
    ("op", "lower", "upper"),
    [("reciprocal", -1.0, 1.0), ("reciprocal", 0.0, 1.0), ("log", 0.0, 1.0), ("sqrt", -1e-3, 1.0)],
)
def test_a_box_that_leaves_the_domain_has_no_bounds(op: str, lower: float, upper: float) -> None:
    box = Interval(torch.tensor([[lower]]), torch.tensor([[upper]]))
    node = node_of(op, {}, 1)
    found = RULES[op].interval(node, (), box)
    lines = RULES[op].relax(node, (box,), torch.full((1, 1, 1), 0.5))
    assert found.lower.isnan().all() and found.upper.isnan().all()
    assert torch.cat(lines.lower_slopes + lines.upper_slopes).isnan().all()


@pytest.mark.parametrize(
    ("op", "lower", "upper", "least", "most"),
    [
        ("sin", 0.0, 3.2, None, 1.0),
        ("sin", 4.0, 8.0, -1.0, 1.0),
        ("sin", -1.0, 1.0, None, None),
        ("cos", -0.1, 0.2, None, 1.0),
        ("cos", 3.0, 3.3, -1.0, None),
        ("cos", 100.0, 107.0, -1.0, 1.0),
    ],
)
def test_the_interval_of_a_wave_knows_its_peaks(
    op: str, lower: float, upper: float, least: float | None, most: float | None
) -> None:
    ends = torch.tensor([[lower]]).double(), torch.tensor([[upper]]).double()
    node = node_of(op, {}, 1)
    found = RULES[op].interval(node, (), Interval(*ends))
    at_ends = [RULES[op].forward(node, (), end).item() for end in ends]
    assert found.lower.item() == pytest.approx(min(at_ends) if least is None else least)
    assert found.upper.item() == pytest.approx(max(at_ends) if most is None else most)


@pytest.mark.parametrize("op", ["gelu", "silu", "mish", "gelu_tanh"])
def test_lines_of_gated_functions_are_the_best_in_the_middle_of_the_box(op: str) -> None:
    """No line that holds on the box is nearer to the function there, but for table errors."""
    attributes = {"factor": 0.8, "cubic": 0.045} if op == "gelu_tanh" else {}
    node, box = node_of(op, attributes, 300), boxes_of_all_widths(-8.0, 8.0, torch.float64)
    box = Interval(box.lower[:, :300], box.upper[:, :300])
    lines = RULES[op].relax(node, (box,), RULES[op].initial(node, (box,)).unsqueeze(1))
    middle = (box.lower + box.upper)[None] / 2
    below, above = lines_at(lines, middle)
    x = dense(box)
    value = RULES[op].forward(node, (), x)
    # The best line below has the value Σ λ·f(x) of the best pair of points around the middle.
    left, right = slice(0, POINTS // 2), slice(POINTS // 2 + 1, POINTS)
    span = (x[right][:, None] - x[left][None]).clamp(min=1e-300)
    share = (middle - x[left][None]) / span
    mixed = value[right][:, None] * share + value[left][None] * (1 - share)
    width = box.upper - box.lower
    for best, found in ((mixed.amin((0, 1)), below[0]), (mixed.amax((0, 1)), above[0])):
        assert ((best - found).abs() <= 1e-3 * width + 1e-9).all()
