"""Lines of x·gate(x) hold on boxes whose ends lie where the curve turns or bends."""

from __future__ import annotations

import itertools

import pytest
import torch

from boundmesh.operators.gated import of_node
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import RULES

OPS = ("gelu", "silu", "mish", "hard_swish")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("op", OPS)
def test_lines_hold_on_boxes_that_begin_or_end_at_a_turn(op: str, dtype: torch.dtype) -> None:
    shape = (1,)
    curve = of_node(Node("y", op, ("x",), shape, (shape,), {}))
    turns = torch.tensor([curve.first, curve.lowest, curve.last, 0.0], dtype=dtype)
    ulps = [turns, turns.nextafter(turns - 1), turns.nextafter(turns + 1)]
    ends = torch.cat([*ulps, turns - 0.3, turns + 40.0, turns - 40.0]).tolist()
    pairs = torch.tensor([pair for pair in itertools.product(ends, ends) if pair[0] <= pair[1]])
    low, high = pairs.to(dtype).unbind(1)
    node = Node("y", op, ("x",), (len(low),), ((len(low),),), {})
    box = Interval(low[None], high[None])
    relax = RULES[op].relax
    assert relax is not None
    shares = torch.linspace(0, 1, 501, dtype=torch.float64)[:, None]
    x = low.double() * (1 - shares) + high.double() * shares
    y = curve.value(x)
    for alpha in (0.0, 1 / 3, 0.5, 0.8, 1.0):
        lines = relax(node, (box,), torch.full((1, 1, len(low)), alpha, dtype=dtype))
        assert isinstance(lines, Lines)
        assert lines.lower_intercept is not None and lines.upper_intercept is not None
        (below,), (above,) = lines.lower_slopes, lines.upper_slopes
        least = below[0, 0].double() * x + lines.lower_intercept[0, 0].double()
        most = above[0, 0].double() * x + lines.upper_intercept[0, 0].double()
        slack = 1e-4 if dtype == torch.float32 else 1e-9
        assert (least <= y + slack).all(), (alpha, float((least - y).max()))
        assert (most >= y - slack).all(), (alpha, float((y - most).max()))
