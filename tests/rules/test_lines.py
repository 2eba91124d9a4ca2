"""Nonlinear operators: lines that hold the function at any α, and are exact where they say so."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines, Pulled
from boundmesh.operators.operator import RULES
from tests.rules.samples import (
    NONLINEAR,
    ROWS,
    Sample,
    alphas,
    at,
    inputs_in,
    name_of,
    size_of,
    unit_rows,
)

each_nonlinear = pytest.mark.parametrize("each", NONLINEAR, ids=name_of)
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
Boxes = tuple[Interval, ...]


def pull(each: Sample, boxes: Boxes, alpha: Tensor, rows: Tensor) -> Pulled:
    assert each.operator.relax is not None
    return each.operator.relax(each.node, boxes, alpha).pull(rows)


def first_alpha(each: Sample, boxes: Boxes) -> Tensor:
    assert each.operator.initial is not None
    return each.operator.initial(each.node, boxes).unsqueeze(1)


def unstable(each: Sample, boxes: Boxes) -> Tensor:
    assert each.operator.unstable is not None
    return each.operator.unstable(each.node, boxes)


def exact(each: Sample, values: list[Tensor]) -> Tensor:
    """The value of unit rows, `[D, 2·size]` in float64."""
    output = each.operator.forward(each.node, each.weights, *(value.double() for value in values))
    flat = output.reshape(len(output), -1)
    return torch.cat((flat, -flat), 1)


def slack(each: Sample, pulled: Pulled, values: list[Tensor], dtype: torch.dtype) -> Tensor:
    # An intercept may be the small difference of a limit and of a number as large as the box.
    far = "bend" in each.node.attributes or each.node.op in ("softmax", "change")
    least = each.high if far else 1e-3
    return 16 * torch.finfo(dtype).eps * (least + size_of(pulled, values))


@each_dtype
@each_nonlinear
def test_lines_hold_the_function_at_every_alpha(each: Sample, dtype: torch.dtype) -> None:
    rows = unit_rows(each.node, dtype)
    for seed in range(3):
        boxes = each.boxes(dtype, seed)
        for alpha in alphas(each, boxes):
            pulled = pull(each, boxes, alpha, rows)
            for values in inputs_in(boxes, 12, seed):
                assert (
                    at(pulled, values) <= exact(each, values) + slack(each, pulled, values, dtype)
                ).all()


@each_nonlinear
def test_pulled_rows_bound_any_row_with_alphas_of_its_own(each: Sample) -> None:
    boxes = each.boxes()
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn((3, ROWS, *each.node.shape), generator=generator, dtype=torch.float64)
    for alpha in alphas(each, boxes, ROWS):
        pulled = pull(each, boxes, alpha, rows)
        for values in inputs_in(boxes, 8):
            output = each.operator.forward(each.node, each.weights, *values)
            reached = (rows * output.unsqueeze(1)).reshape(3, ROWS, -1).sum(2)
            assert (at(pulled, values) <= reached + slack(each, pulled, values, rows.dtype)).all()


@each_nonlinear
def test_rows_with_alphas_of_their_own_take_the_lines_of_these_alphas(each: Sample) -> None:
    boxes = each.boxes()
    *_, alpha = alphas(each, boxes, ROWS)
    generator = torch.Generator().manual_seed(4)
    rows = torch.randn((3, ROWS, *each.node.shape), generator=generator, dtype=torch.float64)
    whole = pull(each, boxes, alpha, rows)
    some = tuple(Interval(box.lower[1:], box.upper[1:]) for box in boxes)
    for row in range(ROWS):
        one = pull(each, some, alpha[1:, row : row + 1], rows[1:, row : row + 1])
        for found, expected in zip(one.coefficients, whole.coefficients, strict=True):
            torch.testing.assert_close(found, expected[1:, row : row + 1])
        if one.bias is not None and whole.bias is not None:
            torch.testing.assert_close(one.bias, whole.bias[1:, row : row + 1])


@each_nonlinear
def test_one_row_for_all_domains_is_the_row_repeated(each: Sample) -> None:
    boxes = each.boxes()
    rows = unit_rows(each.node, torch.float64)
    alpha = first_alpha(each, boxes)
    one = pull(each, boxes, alpha, rows)
    many = pull(each, boxes, alpha, rows.expand(3, *rows.shape[1:]))
    torch.testing.assert_close(one.coefficients, many.coefficients)
    torch.testing.assert_close(one.bias, many.bias)


@each_nonlinear
def test_lines_are_exact_where_nothing_is_unstable(each: Sample) -> None:
    boxes = each.boxes()
    open_inputs = unstable(each, boxes)
    assert open_inputs.shape == boxes[0].lower.shape
    if each.node.op == "max":
        neurons = ~open_inputs.any(each.node["axis"] + 1)
    elif each.node.op == "max_pool":
        neurons = ~RULES["max_pool"].forward(each.node, (), open_inputs.double()).bool()
    elif each.node.op in ("argmax", "top_places"):
        pytest.skip("elements may be equal, and then bounds do not tell which one counts")
    elif each.node.op in ("softmax", "top"):
        one = ~open_inputs.any(each.node["axis"] + 1, keepdim=True)
        neurons = one.expand(len(one), *each.node.shape)
    elif each.node.op == "matmul":
        neurons = ~open_inputs.any(-1, keepdim=True).expand(3, *each.node.shape)
    else:
        neurons = ~open_inputs
    which = neurons.reshape(3, -1).repeat(1, 2)
    for alpha in alphas(each, boxes):
        pulled = pull(each, boxes, alpha, unit_rows(each.node, torch.float64))
        for values in inputs_in(boxes, 4):
            torch.testing.assert_close(
                at(pulled, values)[which], exact(each, values)[which], rtol=1e-9, atol=1e-9
            )


@each_nonlinear
def test_a_box_of_one_point_has_lines_through_it(each: Sample) -> None:
    if each.node.op in ("argmax", "top_places"):
        pytest.skip("elements may be equal, and then bounds do not tell which one counts")
    point = [box.upper for box in each.boxes()]
    boxes = tuple(Interval(x, x) for x in point)
    for alpha in alphas(each, boxes):
        pulled = pull(each, boxes, alpha, unit_rows(each.node, torch.float64))
        torch.testing.assert_close(at(pulled, point), exact(each, point), rtol=1e-9, atol=1e-9)
    assert not unstable(each, boxes).any()


@each_nonlinear
def test_a_bound_that_is_nan_makes_every_line_that_reads_it_nan(each: Sample) -> None:
    for side in ("lower", "upper", "both"):
        boxes = list(each.boxes())
        lower, upper = boxes[0].lower.clone(), boxes[0].upper.clone()
        if side != "upper":
            lower[...] = torch.nan
        if side != "lower":
            upper[...] = torch.nan
        boxes[0] = Interval(lower, upper)
        alpha = torch.full_like(lower.unsqueeze(1), 0.25)
        pulled = pull(each, tuple(boxes), alpha, unit_rows(each.node, torch.float64))
        broken = pulled.coefficients[0].flatten(2).isnan().any(2)
        if pulled.bias is not None:
            broken = broken | pulled.bias.isnan()
        assert broken.all(), side


@each_dtype
@each_nonlinear
def test_gradients_reach_alpha_and_bounds_and_are_finite(each: Sample, dtype: torch.dtype) -> None:
    leaves = [
        (box.lower.clone().requires_grad_(), box.upper.clone().requires_grad_())
        for box in each.boxes(dtype)
    ]
    boxes = tuple(Interval(lower, upper) for lower, upper in leaves)
    rows = unit_rows(each.node, dtype)
    with torch.no_grad():
        every_alpha = list(alphas(each, boxes))
    for alpha in every_alpha:
        alpha = alpha.clone().requires_grad_()
        pulled = pull(each, boxes, alpha, rows)
        least = sum(
            (c.clamp(min=0) * box.lower.unsqueeze(1)).sum()
            + (c.clamp(max=0) * box.upper.unsqueeze(1)).sum()
            for c, box in zip(pulled.coefficients, boxes, strict=True)
        )
        ends = [end for pair in leaves for end in pair]
        found = torch.autograd.grad(
            least if pulled.bias is None else least + pulled.bias.sum(),
            [alpha, *ends],
            allow_unused=True,
        )
        # Where all lines are constant, their ends alone decide them, and those are steps.
        if any(each.any() for each in pulled.coefficients):
            assert any(each is not None and each.any() for each in found[1:])
        assert all(each is None or each.isfinite().all() for each in found)


@each_nonlinear
def test_gradients_of_pulled_rows_are_right(each: Sample) -> None:
    boxes = each.boxes(seed=5)
    generator = torch.Generator().manual_seed(6)
    assert each.operator.relax is not None
    lines = each.operator.relax(each.node, boxes, first_alpha(each, boxes))
    if not isinstance(lines, Lines) or lines.reduced is not None:
        pytest.skip("its lines are not one by one")
    size = (3, 2, *each.node.shape)
    rows = torch.randn(size, generator=generator, dtype=torch.float64).requires_grad_()
    parts = [*lines.lower_slopes, *lines.upper_slopes]
    count = len(lines.lower_slopes)
    for intercept in (lines.lower_intercept, lines.upper_intercept):
        if intercept is not None:
            parts.append(intercept)
    leaves = [part.detach()[..., :3].clone().requires_grad_() for part in parts]

    def function(rows: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
        rest = list(leaves[2 * count :])
        lower = rest.pop(0) if lines.lower_intercept is not None else None
        upper = rest.pop(0) if lines.upper_intercept is not None else None
        drawn = Lines(leaves[:count], leaves[count : 2 * count], lower, upper)
        pulled = drawn.pull(rows[..., :3])
        return tuple(each for each in (*pulled.coefficients, pulled.bias) if each is not None)

    assert torch.autograd.gradcheck(function, (rows, *leaves))
