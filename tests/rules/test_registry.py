"""What holds for every operator: samples, shapes without data, ranges, and NaN."""

from __future__ import annotations

import pytest
import torch

from boundmesh.errors import UnsupportedError
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.operator import register
from tests.rules.samples import REFERENCE, SAMPLES, Sample, inputs_in, name_of, points_in

each_sample = pytest.mark.parametrize("each", SAMPLES, ids=name_of)


def test_every_operator_has_samples() -> None:
    assert {each.node.op for each in SAMPLES} == set(RULES)


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_operator_is_affine_or_has_all_rules_of_a_nonlinear_one(name: str) -> None:
    operator = RULES[name]
    nonlinear = (operator.relax, operator.initial, operator.unstable)
    assert operator.name == name
    assert operator.affine == all(rule is None for rule in nonlinear)
    assert operator.affine or all(rule is not None for rule in nonlinear)


def test_a_second_operator_of_one_name_is_refused() -> None:
    with pytest.raises(ValueError, match="the name 'relu' of an operator is taken"):
        register(RULES["relu"])


@pytest.mark.parametrize("slope", [-0.1, 1.1, float("nan")])
def test_a_leaky_relu_that_is_not_convex_and_rising_is_refused(slope: float) -> None:
    node = Node("leaky_1", "leaky_relu", ("x",), (2,), ((2,),), {"slope": slope})
    with pytest.raises(UnsupportedError, match="leaky_1"):
        RULES["leaky_relu"].forward(node, (), torch.zeros(1, 2))


@each_sample
def test_shapes_are_inferred_without_data(each: Sample) -> None:
    values = [torch.empty(1, *shape, device="meta") for shape in each.node.input_shapes]
    weights = [torch.empty(weight.shape, device="meta") for weight in each.weights]
    assert each.operator.forward(each.node, weights, *values).shape == (1, *each.node.shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@each_sample
def test_values_lie_inside_the_interval(each: Sample, dtype: torch.dtype) -> None:
    boxes, weights = each.boxes(dtype), each.weights_in(dtype)
    found = each.operator.interval(each.node, weights, *boxes)
    slack = 64 * torch.finfo(dtype).eps * (1 + found.lower.abs() + found.upper.abs())
    for values in inputs_in(boxes, 20):
        output = each.operator.forward(each.node, weights, *values)
        assert output.dtype == found.lower.dtype == dtype
        assert (found.lower - slack <= output).all()
        assert (output <= found.upper + slack).all()


@each_sample
def test_the_interval_of_a_point_is_its_value(each: Sample) -> None:
    point = [box.lower for box in each.boxes()]
    found = each.operator.interval(each.node, each.weights, *(Interval(x, x) for x in point))
    value = each.operator.forward(each.node, each.weights, *point)
    torch.testing.assert_close(found.lower, value)
    torch.testing.assert_close(found.upper, value)


@each_sample
def test_nan_inside_of_a_value_reaches_the_output(each: Sample) -> None:
    masked = "keep" in each.node.attributes
    if not each.node.inputs or masked or each.node.op in ("slice", "gather"):
        pytest.skip("not every input is read")
    values = [box.lower for box in each.boxes()]
    values[0][...] = torch.nan
    output = each.operator.forward(each.node, each.weights, *values)
    kept = each.operator.interval(each.node, each.weights, *(Interval(x, x) for x in values))
    assert output.isnan().any()
    assert torch.equal(kept.lower.isnan(), output.isnan())
    assert torch.equal(kept.upper.isnan(), output.isnan())


@pytest.mark.parametrize("op", sorted(REFERENCE))
def test_elementwise_functions_equal_those_of_python(op: str) -> None:
    each = next(each for each in SAMPLES if each.node.op == op)
    (box,) = each.boxes()
    for x in points_in(box, 3):
        expected = torch.tensor([REFERENCE[op](value) for value in x.flatten().tolist()])
        output = each.operator.forward(each.node, (), x).flatten()
        torch.testing.assert_close(output, expected.double(), rtol=1e-6, atol=1e-6)
