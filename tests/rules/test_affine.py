"""Affine operators: the affine identity, and intervals that are exact on a box."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boundmesh.operators.inner_products import inner
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Pulled
from tests.rules.samples import AFFINE, DOMAINS, ROWS, Sample, at, inputs_in, name_of, unit_rows

each_affine = pytest.mark.parametrize("each", AFFINE, ids=name_of)


def random_rows(each: Sample, domains: int = DOMAINS) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (domains, ROWS, *each.node.shape)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def pull(each: Sample, rows: Tensor) -> Pulled:
    assert each.operator.pull is not None
    return each.operator.pull(each.node, each.weights_in(rows.dtype), rows)


@each_affine
def test_rows_times_the_output_equal_pulled_rows_times_the_inputs(each: Sample) -> None:
    rows = random_rows(each)
    pulled = pull(each, rows)
    for coefficients, shape in zip(pulled.coefficients, each.node.input_shapes, strict=True):
        assert coefficients.shape == (DOMAINS, ROWS, *shape)
    for values in inputs_in(each.boxes(), 3):
        output = each.operator.forward(each.node, each.weights, *values).unsqueeze(1)
        torch.testing.assert_close(
            inner(rows, output.expand(DOMAINS, *output.shape[1:])),
            at(pulled, values).expand(DOMAINS, ROWS),
        )


@pytest.mark.parametrize("each", [each for each in AFFINE if each.operator.keeps_rows], ids=name_of)
def test_an_operator_that_keeps_rows_passes_them_to_every_input_as_they_are(each: Sample) -> None:
    rows = random_rows(each)
    found = pull(each, rows).coefficients
    assert found and all(torch.equal(coefficients, rows) for coefficients in found)


@pytest.mark.parametrize(
    "each", [each for each in AFFINE if each.operator.sized_interval is not None], ids=name_of
)
def test_a_sized_interval_is_the_interval_and_the_sum_of_the_magnitudes(each: Sample) -> None:
    assert each.operator.sized_interval is not None
    (box,) = each.boxes()
    found, size = each.operator.sized_interval(each.node, each.weights, box)
    expected = each.operator.interval(each.node, each.weights, box)
    torch.testing.assert_close((found.lower, found.upper), (expected.lower, expected.upper))
    reach = torch.maximum(box.lower.abs(), box.upper.abs())
    magnitudes = tuple(weight.abs() for weight in each.weights)
    torch.testing.assert_close(size, each.operator.forward(each.node, magnitudes, reach))


@each_affine
def test_pull_is_the_transpose_that_autograd_finds(each: Sample) -> None:
    if not each.node.inputs:
        pytest.skip("a constant has no input")
    rows = random_rows(each)
    values = [torch.zeros(DOMAINS, *shape, dtype=rows.dtype) for shape in each.node.input_shapes]

    def forward(*operands: Tensor) -> Tensor:
        return each.operator.forward(each.node, each.weights, *operands)

    transpose = torch.func.vjp(forward, *values)[1]
    for row in range(ROWS):
        expected = transpose(rows[:, row])
        found = pull(each, rows[:, row : row + 1]).coefficients
        torch.testing.assert_close([c.squeeze(1) for c in found], list(expected))


@each_affine
def test_gradient_of_pulled_rows_is_the_forward_rule(each: Sample) -> None:
    rows = random_rows(each).requires_grad_()
    values = next(inputs_in(each.boxes(), 0))
    pulled = pull(each, rows)
    terms = [(c * v.unsqueeze(1)).sum() for c, v in zip(pulled.coefficients, values, strict=True)]
    if pulled.bias is not None:
        terms.append(pulled.bias.sum())
    (gradient,) = torch.autograd.grad(sum(terms), rows)
    output = each.operator.forward(each.node, each.weights, *values)
    torch.testing.assert_close(gradient, output.unsqueeze(1).expand_as(rows))


@each_affine
def test_interval_is_exactly_what_unit_rows_reach_on_the_box(each: Sample) -> None:
    boxes = each.boxes()
    pulled = pull(each, unit_rows(each.node, torch.float64))
    ends = [torch.stack((box.lower, box.upper), 1) for box in boxes]
    least = at(Pulled((), pulled.bias), [])
    for coefficients, end in zip(pulled.coefficients, ends, strict=True):
        products = coefficients.unsqueeze(2) * end.unsqueeze(1)
        least = least + products.amin(2).flatten(2).sum(2)
    found = each.operator.interval(each.node, each.weights, *boxes)
    lower, upper = least.split(each.node.size, dim=1)
    torch.testing.assert_close(found.lower.flatten(1).expand_as(lower), lower)
    torch.testing.assert_close(found.upper.flatten(1).expand_as(upper), -upper)


@each_affine
def test_a_rule_on_a_slice_of_rows_and_domains_is_the_slice_of_the_rule(each: Sample) -> None:
    rows, boxes = random_rows(each), each.boxes()
    whole, part = pull(each, rows), pull(each, rows[1:2, 1:3])
    for c, expected in zip(part.coefficients, whole.coefficients, strict=True):
        torch.testing.assert_close(c, expected[1:2, 1:3])
    if part.bias is not None and whole.bias is not None:
        torch.testing.assert_close(part.bias, whole.bias[1:2, 1:3])
    if boxes:
        some = [Interval(box.lower[1:2], box.upper[1:2]) for box in boxes]
        found = each.operator.interval(each.node, each.weights, *some)
        wide = each.operator.interval(each.node, each.weights, *boxes)
        torch.testing.assert_close(found.lower, wide.lower[1:2])
        torch.testing.assert_close(found.upper, wide.upper[1:2])


@each_affine
def test_rows_without_a_dense_layout_in_memory_pull_back_alike(each: Sample) -> None:
    rows = random_rows(each)
    strided = rows.transpose(0, -1).contiguous().transpose(0, -1)
    torch.testing.assert_close(pull(each, strided).coefficients, pull(each, rows).coefficients)


@each_affine
def test_pull_units_is_pull_of_unit_rows(each: Sample) -> None:
    if each.operator.pull_units is None:
        pytest.skip("no product can be saved")
    index = torch.tensor([each.node.size - 1, 0, 2])
    sign = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    found = each.operator.pull_units(each.node, each.weights, index, sign)
    if found is None:
        pytest.skip("no product can be saved for this shape")
    rows = torch.eye(each.node.size, dtype=torch.float64)[index] * sign[:, None]
    expected = pull(each, rows.reshape(1, 3, *each.node.shape))
    torch.testing.assert_close(found.coefficients, expected.coefficients)
    if expected.bias is not None:
        torch.testing.assert_close(found.bias, expected.bias)


def test_gradient_of_a_gather_with_repeats_sums_them_in_both_directions() -> None:
    each = next(each for each in AFFINE if each.node.op == "gather")
    x = torch.randn(2, *each.node.input_shapes[0], dtype=torch.float64, requires_grad=True)

    def forward(x: Tensor) -> Tensor:
        return each.operator.forward(each.node, (), x)

    assert torch.autograd.gradcheck(forward, (x,))
    assert torch.autograd.gradgradcheck(forward, (x,))
