"""The judges themselves: what they compute, another program computes, too."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import onnx
import pytest
import torch

from boundmesh.graph.forward import forward, tensors
from boundmesh.operators import RULES
from tests.adversary import exact, reordered, statement
from tests.adversary.draft import as_decimal
from tests.adversary.generate import generate
from tests.adversary.judge import Runtime, float32_points, judge_sat, judge_unsat, likely
from tests.adversary.network import Network
from tests.adversary.operator_forms import FORMS, ends, evaluated, graph_of, points_of
from tests.adversary.walk import Objective, least_on_line

SEEDS = range(40)


@pytest.mark.parametrize("seed", SEEDS)
def test_onnx_runtime_and_reordered_sums_agree_with_exact_outputs(seed: int) -> None:
    """Up to what rounding does at that point, which different orders show."""
    instance = generate(seed)
    points = float32_points(instance)[:6]
    if not len(points):
        pytest.skip("the box holds no float32 number")
    if instance.net.double:
        exactly = exact.outputs(instance.net, points.astype(np.float64))[0].astype(np.float64)
        seen, size = Runtime(instance.net)(points), np.abs(exactly).max()
        losses = np.abs(reordered.outputs(instance.net, points, 0) - exactly).max()
        assert np.abs(seen - exactly).max() <= 1e-6 * losses + 1e-13 * size + 1e-16
        return
    exactly = exact.outputs(instance.net, points.astype(np.float64))[0].astype(np.float64)
    orders = np.stack([reordered.outputs(instance.net, points, order) for order in range(16)])
    seen = Runtime(instance.net)(points)
    rounding = np.abs(orders - exactly).max() + 1e-5 * np.abs(exactly).max() + 1e-9
    assert np.abs(seen - exactly).max() <= 8 * rounding
    assert np.abs(orders.mean(0) - exactly).max() <= rounding
    # Float64 rounds 2^29 times less: the exact outputs are no rounded ones.
    close = reordered.approximate(instance.net, points.astype(np.float64))
    assert np.abs(close - exactly).max() <= 1e-5 * rounding


def test_the_orders_of_a_sum_differ_by_rounding_alone() -> None:
    weight = np.random.default_rng(0).normal(size=(40, 1)).astype(np.float32)
    make, held = onnx.helper, onnx.numpy_helper
    graph = make.make_graph(
        [make.make_node("MatMul", ["x", "w"], ["y"])],
        "sum",
        [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 40])],
        [make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 1])],
        [held.from_array(weight, "w")],
    )
    net = Network(make.make_model(graph))
    x = np.random.default_rng(1).normal(size=(1, 40)).astype(np.float32)
    found = np.array([reordered.outputs(net, x, order)[0, 0] for order in range(50)])
    exactly = float(exact.outputs(net, x.astype(np.float64))[0][0, 0])
    # γ₄₁ · Σ|w·x|, the bound on any order (Higham 2002, section 4.2).
    size = float(np.abs(weight[:, 0].astype(np.float64) * x[0]).sum())
    assert len(set(found.tolist())) > 3
    assert np.abs(found - exactly).max() <= 41 * 2.0**-24 * size * 1.001


def test_a_walk_finds_a_bump_that_samples_miss() -> None:
    """`−relu(1 − 2²⁰·|x − 1/3|)`: −1 at the float32 number nearest to 1/3, else zero."""
    make, held = onnx.helper, onnx.numpy_helper
    tip = np.float32(1 / 3)
    numbers = {"tip": tip, "steep": np.float32(2**20), "one": np.float32(1)}
    steps = [("Sub", "x", "tip"), ("Abs", "a"), ("Mul", "b", "steep"), ("Sub", "one", "c")]
    steps += [("Relu", "d"), ("Neg", "e")]
    nodes = [
        make.make_node(op, list(inputs), [name])
        for (op, *inputs), name in zip(steps, "abcdef", strict=True)
    ]
    graph = make.make_graph(
        nodes,
        "bump",
        [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1])],
        [make.make_tensor_value_info("f", onnx.TensorProto.FLOAT, [1, 1])],
        [held.from_array(np.array([value]), name) for name, value in numbers.items()],
    )
    objective = Objective(Network(make.make_model(graph)), (Fraction(1),))
    found = least_on_line(objective, (Fraction(-3),), (Fraction(5),))
    assert found.complete
    assert (found.value, found.point) == (Fraction(-1), (Fraction(float(tip)),))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_sample_lies_below_the_least_value_of_a_whole_walk(seed: int) -> None:
    instance = generate(seed)
    if not instance.complete:
        pytest.skip("the network has several inputs, or curves")
    # The property's bound lies above the least value or below it, as `violated` says.
    assertions = statement.parse(instance.text)
    point = instance.points[0][1]
    y, doubt = exact.outputs(instance.net, np.array([point], dtype=object))
    assert statement.satisfied(assertions, list(point), list(y[0]), doubt) == instance.violated
    if not instance.violated:
        assert judge_unsat(instance, ("real",)) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_violated_property_makes_unsat_a_fault(seed: int) -> None:
    instance = generate(seed)
    fault = judge_unsat(instance, ("real",))
    if instance.complete or instance.violated:
        assert (fault is not None) == instance.violated
    for point in [each for _, each in instance.points[:1]] if instance.violated else []:
        if all(Fraction(float(x)) == x for x in point):
            assert judge_sat(instance, np.array([float(x) for x in point]), ("real",)) is None


def test_points_lie_in_a_region_of_the_property() -> None:
    for seed in SEEDS:
        instance = generate(seed)
        points = [
            *likely(instance),
            *(tuple(map(Fraction, row)) for row in float32_points(instance).astype(float).tolist()),
        ]
        for point in points:
            assert any(region.contains(point) for region in instance.regions)


@pytest.mark.parametrize("number", [0.1, -3.0, 2.0**-40, 1e6 + 0.5, -0.0625, 123456.789])
def test_a_decimal_without_a_number_of_digits_is_exact(number: float) -> None:
    assert Fraction(as_decimal(number)) == Fraction(number)
    rounded = Fraction(as_decimal(number, 8))
    assert abs(rounded - Fraction(number)) <= abs(Fraction(number)) * Fraction(1, 10**7)


def test_a_statement_is_judged_as_it_is_written() -> None:
    text = "(assert (or (and (<= X_0 0.1) (>= Y_0 (* 2 X_0))) (< (+ Y_0 (- X_0)) -5))) ; end"
    parsed = statement.parse(text)
    cases = itertools.product(["0.1", "0.2"], ["0.2", "0.1999", "-4.8", "-4.81", "-4.9"])
    seen = {(x, y): statement.satisfied(parsed, [Fraction(x)], [Fraction(y)]) for x, y in cases}
    assert [pair for pair, true in seen.items() if true] == [
        ("0.1", "0.2"),
        ("0.2", "-4.81"),
        ("0.2", "-4.9"),
    ]


@pytest.mark.parametrize("op", RULES)
def test_every_operator_has_a_form_that_computes_what_its_rule_does(op: str) -> None:
    assert op in FORMS, f"write a form of '{op}' in operator_forms.py"
    for seed in range(4):
        rng = np.random.default_rng([seed, *op.encode()])
        form = FORMS[op](rng)
        graph = graph_of(form)
        low, high = ends(rng, form, graph[graph.input].size)
        points = points_of(rng, low, high)
        values, _ = evaluated(form, points)
        x = torch.tensor(
            [[float(each) for each in point] for point in points[: len(values)]],
            dtype=torch.float64,
        )
        held = tensors(graph, torch.float64)
        found = forward(graph, held, x).reshape(len(x), -1).numpy()
        wide = np.abs(x.numpy()).max() + max([np.abs(w).max() for w in form.weights], default=0)
        np.testing.assert_allclose(
            found[: len(values)], values.astype(np.float64), rtol=1e-9, atol=1e-9 * (1 + wide) ** 2
        )
