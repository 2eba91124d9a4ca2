"""Multiply and matmul: McCormick's planes, written down or not."""

from __future__ import annotations

import itertools

import torch

from boundmesh.operators import RULES
from boundmesh.operators.inner_products import inner
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from tests.rules.samples import NONLINEAR

MULTIPLY, MATMUL = (
    next(each for each in NONLINEAR if each.node.op == op) for op in ("multiply", "matmul")
)


def test_planes_of_a_product_touch_it_at_two_corners_each() -> None:
    boxes = MULTIPLY.boxes()
    x, y = boxes
    corners = list(itertools.product((x.lower, x.upper), (y.lower, y.upper)))
    for alpha in (0.0, 1.0):
        lines = MULTIPLY.operator.relax(
            MULTIPLY.node, boxes, torch.full_like(x.lower, alpha).unsqueeze(1)
        )
        for slopes, intercept in (
            (lines.lower_slopes, lines.lower_intercept),
            (lines.upper_slopes, lines.upper_intercept),
        ):
            gaps = torch.stack(
                [
                    (a * b - slopes[0][:, 0] * a - slopes[1][:, 0] * b - intercept[:, 0]).abs()
                    for a, b in corners
                ]
            )
            assert ((gaps < 1e-12).sum(0) >= 2).all()


def test_the_interval_of_a_product_is_attained_at_corners() -> None:
    boxes = MULTIPLY.boxes()
    x, y = boxes
    corners = itertools.product((x.lower, x.upper), (y.lower, y.upper))
    values = torch.stack([a * b for a, b in corners])
    found = MULTIPLY.operator.interval(MULTIPLY.node, (), *boxes)
    assert torch.equal(found.lower, values.amin(0))
    assert torch.equal(found.upper, values.amax(0))


def expanded(box: Interval, dim: int, count: int) -> Interval:
    return Interval(*(end.unsqueeze(dim) for end in (box.lower, box.upper)))


def test_a_matrix_product_is_pulled_as_the_sum_of_its_single_products() -> None:
    """The same rows through `multiply` on x and y written out as `[*, m, n, k]`."""
    x, y = MATMUL.boxes()
    (*batch, m, k), n = MATMUL.node.input_shapes[0], MATMUL.node.shape[-1]
    generator = torch.Generator().manual_seed(5)
    rows = torch.randn((3, 4, *batch, m, n), generator=generator, dtype=torch.float64)
    alpha = torch.rand((3, 4, *batch, m, k), generator=generator, dtype=torch.float64)
    planes = MATMUL.operator.relax(MATMUL.node, (x, y), alpha)
    found = planes.pull(rows)

    shape = (*batch, m, n, k)
    wide_x, wide_y = (
        Interval(*(turn(end).expand(3, *shape) for end in (box.lower, box.upper)))
        for box, turn in ((x, lambda e: e.unsqueeze(-2)), (y, lambda e: e.mT.unsqueeze(-3)))
    )
    node = Node("p", "multiply", ("x", "y"), shape, (shape, shape))
    lines = RULES["multiply"].relax(
        node, (wide_x, wide_y), alpha.unsqueeze(-2).expand(3, 4, *shape)
    )
    single = lines.pull(rows.unsqueeze(-1).expand(3, 4, *shape))
    torch.testing.assert_close(found.coefficients[0], single.coefficients[0].sum(-2))
    torch.testing.assert_close(found.coefficients[1], single.coefficients[1].sum(-3).mT)
    torch.testing.assert_close(found.bias, single.bias)


def test_the_interval_of_a_matrix_product_sums_those_of_its_single_products() -> None:
    x, y = MATMUL.boxes()
    found = MATMUL.operator.interval(MATMUL.node, (), x, y)
    lower, upper = torch.zeros(()), torch.zeros(())
    for place in range(MATMUL.node.input_shapes[0][-1]):
        left = Interval(x.lower[..., place, None], x.upper[..., place, None])
        right = Interval(y.lower[..., None, place, :], y.upper[..., None, place, :])
        one = RULES["multiply"].interval(MULTIPLY.node, (), left, right)
        lower, upper = lower + one.lower, upper + one.upper
    torch.testing.assert_close(found.lower, lower)
    torch.testing.assert_close(found.upper, upper)


def test_a_product_with_a_constant_is_pulled_exactly() -> None:
    x, y = MATMUL.boxes()
    fixed = Interval(y.lower, y.lower)
    rows = torch.randn(3, 2, *MATMUL.node.shape, dtype=torch.float64)
    alpha = torch.rand(3, 1, *MATMUL.node.input_shapes[0], dtype=torch.float64)
    pulled = MATMUL.operator.relax(MATMUL.node, (x, fixed), alpha).pull(rows)
    value = torch.matmul(x.upper, y.lower).unsqueeze(1)
    found = inner(pulled.coefficients[0], x.upper.unsqueeze(1))
    found = found + inner(pulled.coefficients[1], y.lower.unsqueeze(1))
    assert pulled.bias is not None
    torch.testing.assert_close(found + pulled.bias, inner(rows, value))
