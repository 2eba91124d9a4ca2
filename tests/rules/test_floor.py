"""Floor: lines that hold on both sides of every jump, also where only rounding reaches it."""

from __future__ import annotations

import math

import pytest
import torch

from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node

FLOOR = RULES["floor"]
NODE = Node("n", "floor", ("x",), (1,), ((1,),))


def box(lower: float, upper: float) -> Interval:
    return Interval(torch.tensor([[lower]]), torch.tensor([[upper]]))


@pytest.mark.parametrize("at", [0.0, 1.0, -3.0, 40.0])
def test_a_box_that_ends_at_an_integer_has_both_sides_of_the_jump(at: float) -> None:
    for ends in ((at, at), (at, at + 0.5), (at - 0.5, at)):
        found = FLOOR.interval(NODE, (), box(*ends))
        assert (found.lower.item(), found.upper.item()) == (at - 1, at)
        assert FLOOR.unstable(NODE, (box(*ends),)).all()


def test_between_two_integers_floor_is_the_constant() -> None:
    boxes = (box(2.1, 2.9),)
    lines = FLOOR.relax(NODE, boxes, torch.ones(1, 1, 1))
    assert not FLOOR.unstable(NODE, boxes).any()
    assert lines.lower_slopes[0].item() == lines.upper_slopes[0].item() == 0
    assert lines.lower_intercept.item() == lines.upper_intercept.item() == 2


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("ends", [(-0.3, 0.6), (0.5, 1.0), (-2.5, 3.5), (-7.0, 1.0)])
def test_lines_hold_up_to_every_jump(ends: tuple[float, float], alpha: float) -> None:
    lines = FLOOR.relax(NODE, (box(*ends),), torch.full((1, 1, 1), alpha))
    below, above = lines.lower_slopes[0].item(), lines.upper_slopes[0].item()
    jumps = range(math.ceil(ends[0]), math.floor(ends[1]) + 1)
    points = [*ends, *jumps, *(math.nextafter(jump, -math.inf) for jump in jumps)]
    for x in (point for point in points if ends[0] <= point <= ends[1]):
        assert below * x + lines.lower_intercept.item() <= math.floor(x)
        assert math.floor(x) <= above * x + lines.upper_intercept.item()


def test_over_several_jumps_lines_parallel_to_x_lie_one_apart() -> None:
    boxes = (box(-2.5, 8.5),)
    alpha = FLOOR.initial(NODE, boxes).unsqueeze(1)
    lines = FLOOR.relax(NODE, boxes, alpha)
    assert alpha.item() == 1
    gap = lines.upper_intercept - lines.lower_intercept
    assert gap.item() == pytest.approx(1, abs=1e-4)
