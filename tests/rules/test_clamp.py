"""At_least and at_most: lines within the errors that they state, in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node

FUNCTIONS = {"at_least": max, "at_most": min}


def gamma(terms: int, dtype: torch.dtype) -> Fraction:
    u = Fraction(torch.finfo(dtype).eps) / 2
    return terms * u / (1 - terms * u)


def node_of(op: str, bend: float) -> Node:
    return Node("n", op, ("x",), (1,), ((1,),), {"bend": bend})


def lines_of(op: str, c: float, box: Interval, alpha: float) -> tuple[list[Fraction], ...]:
    """Slope and intercept of the line below and of the line above."""
    given = torch.full_like(box.lower, alpha).unsqueeze(1)
    lines = RULES[op].relax(node_of(op, c), (box,), given)
    assert isinstance(lines, Lines)
    below = lines.lower_slopes[0], lines.lower_intercept
    above = lines.upper_slopes[0], lines.upper_intercept
    return tuple([Fraction(part.item()) for part in line] for line in (below, above))


def boxes(count: int, dtype: torch.dtype) -> list[tuple[float, Interval, float]]:
    """Limits, boxes around them of all widths, and slopes."""
    generator = torch.Generator().manual_seed(0)

    def random(*powers: int) -> float:
        (power,) = torch.randint(*powers, (1,), generator=generator).tolist()
        sign = 2 * torch.rand(1, generator=generator, dtype=torch.float64).item() - 1
        return torch.tensor(sign * 10.0**power).to(dtype).item()

    found = []
    for _ in range(count):
        c = random(-3, 7)
        low, high = c - abs(random(-4, 8)), c + abs(random(-4, 8))
        box = Interval(*(torch.tensor([[end]], dtype=dtype) for end in (low, high)))
        found.append((c, box, abs(random(0, 1))))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("op", FUNCTIONS)
def test_lines_pass_the_function_by_no_more_than_they_state(op, dtype):
    for c, box, alpha in boxes(300, dtype):
        low, high, limit = Fraction(box.lower.item()), Fraction(box.upper.item()), Fraction(c)
        below, above = lines_of(op, c, box, alpha)
        chord = above if op == "at_least" else below
        end = low if op == "at_least" else high
        of_chord = gamma(3, dtype) * abs(chord[0]) * (high - low) + gamma(2, dtype) * (
            abs(limit) + abs(chord[0] * end)
        )
        of_slope = gamma(2, dtype) * abs(limit)
        errors = (of_slope, of_chord) if op == "at_least" else (of_chord, of_slope)
        if not low < limit < high:
            errors = (Fraction(0), Fraction(0))
        # Both lines and the function are straight between these.
        for x in (low, min(max(limit, low), high), high):
            value = FUNCTIONS[op](x, limit)
            assert below[0] * x + below[1] <= value + errors[0]
            assert above[0] * x + above[1] >= value - errors[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("op", FUNCTIONS)
def test_lines_are_the_piece_itself_where_the_limit_lies_outside_of_the_box(op, dtype):
    box = Interval(torch.tensor([[-1.3]], dtype=dtype), torch.tensor([[0.7]], dtype=dtype))
    for c in (-1e6, box.lower.item(), box.upper.item(), 1e6):
        below, above = lines_of(op, c, box, 0.3)
        x_itself = (c < 0) == (op == "at_least")
        assert below == above == ([1, 0] if x_itself else [0, Fraction(c)])


@pytest.mark.parametrize("op", FUNCTIONS)
def test_the_mirror_image_of_one_is_the_other(op):
    other = "at_most" if op == "at_least" else "at_least"
    for c, box, alpha in boxes(50, torch.float64):
        box_of_y = Interval(-box.upper, -box.lower)
        below, above = lines_of(op, c, box, alpha)
        mirrored = lines_of(other, -c, box_of_y, alpha)
        assert (below[0], -below[1]) == tuple(mirrored[1])
        assert (above[0], -above[1]) == tuple(mirrored[0])
