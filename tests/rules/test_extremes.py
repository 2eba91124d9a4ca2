"""Curves on boxes of every size: tiny, huge, degenerate, and touching the end of the domain."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from tests.rules.samples import NONLINEAR, Sample

COUNT, POINTS = 400, 33

FUNCTIONS = [
    each
    for each in NONLINEAR
    if len(each.node.inputs) == 1 and each.node.shape == each.node.input_shapes[0]
    and not RULES[each.node.op].mixes
]  # fmt: skip


def domain_of(each: Sample) -> tuple[float, float]:
    """The ends of where the function is defined, on the side that the sample lies on."""
    power = each.node.attributes.get("exponent", 1.0)
    if each.node.op in ("log", "sqrt", "reciprocal") or power != int(power) or power < 0:
        return (0.0, math.inf) if each.high > 0 else (-math.inf, 0.0)
    return -math.inf, math.inf


def boxes(each: Sample) -> Interval:
    """Boxes `[1, COUNT]` in float32, whose ends and widths span most powers of ten."""
    generator = torch.Generator().manual_seed(5)
    low, high = domain_of(each)

    def size() -> Tensor:
        return 10 ** (76 * torch.rand(1, COUNT, generator=generator, dtype=torch.float64) - 38)

    kind = torch.randint(0, 4, (1, COUNT), generator=generator)
    center = size() * torch.where(torch.rand(1, COUNT, generator=generator) < 0.5, -1, 1)
    if low == 0 or high == 0:
        center = center.abs() * (1 if low == 0 else -1)
    width = torch.where(kind == 0, 0, torch.where(kind == 1, 1e-6 * center.abs(), size()))
    lower, upper = center - width, center + width
    lower, upper = lower.clamp(low, high), upper.clamp(low, high)
    lower = torch.where((kind == 3) & (low == 0), 0, lower)
    upper = torch.where((kind == 3) & (high == 0), 0, upper)
    largest = torch.finfo(torch.float32).max
    return Interval(lower.clamp(-largest, largest).float(), upper.clamp(-largest, largest).float())


def at(each: Sample, count: int) -> Sample:
    """The sample's function of `count` neurons."""
    attributes = {
        # float32 must hold an exponent, or the function itself is another one.
        key: float(np.ravel(np.float32(value))[0])
        for key, value in each.node.attributes.items()
    }
    node = type(each.node)("n", each.node.op, ("x",), (count,), ((count,),), attributes)
    weights = tuple(weight.reshape(-1)[:1] for weight in each.weights)
    return Sample(node, weights, each.low, each.high)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, None])
@pytest.mark.parametrize("each", FUNCTIONS, ids=lambda each: f"{each.node.op}-{each.low:g}")
def test_lines_are_finite_and_hold_wherever_the_interval_is_finite(
    each: Sample, alpha: float | None
) -> None:
    each, box = at(each, COUNT), boxes(each)
    operator, weights = each.operator, each.weights_in(torch.float32)
    assert operator.relax is not None and operator.initial is not None
    first = operator.initial(each.node, (box,))
    chosen = first if alpha is None else torch.full_like(first, alpha)
    found = operator.interval(each.node, weights, box)
    lines = operator.relax(each.node, (box,), chosen.unsqueeze(1))
    assert isinstance(lines, Lines)
    known = found.lower.isfinite() & found.upper.isfinite()
    assert known.any()
    exact = tuple(weight.double() for weight in weights)
    share = torch.linspace(0, 1, POINTS, dtype=torch.float64)[:, None]
    lower, upper = box.lower.double(), box.upper.double()
    x = (lower + share * (upper - lower)).clamp(lower, upper)
    value = operator.forward(each.node, exact, x)
    for slope, intercept, sign in (
        (lines.lower_slopes[0], lines.lower_intercept, 1),
        (lines.upper_slopes[0], lines.upper_intercept, -1),
    ):
        at_zero = torch.zeros_like(slope) if intercept is None else intercept
        assert (slope.isfinite() & at_zero.isfinite())[0][known].all()
        line = slope[:, 0].double() * x + at_zero[:, 0].double()
        size = (slope[:, 0].double() * x).abs() + at_zero[:, 0].double().abs() + value.abs()
        # What is charged beside the lines covers 16 roundings, and underflow of a slope.
        slack = 2**-22 * size + 1e-37 * (1 + x.abs())
        assert ((sign * (value - line) >= -slack) | ~known).all()
