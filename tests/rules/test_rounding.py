"""What rules state about rounding, held against the same rules in higher precision."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from boundmesh.bounds.relaxation.lines import crown_lines
from boundmesh.bounds.sweep.charge import Charge
from boundmesh.bounds.sweep.node_weights import NodeWeights, parts_of, product_of
from boundmesh.bounds.sweep.outward import outward
from boundmesh.bounds.sweep.rounding_errors import magnitude
from boundmesh.operators import RULES
from boundmesh.operators.inner_products import inner
from boundmesh.operators.interval import Interval
from boundmesh.operators.rounding import UNITS, Rounding, chunked, gamma
from tests.rules.samples import SAMPLES, Sample, inputs_in

ROUNDING = Rounding.of(torch.float32)
EVERY = [pytest.param(sample, id=f"{n}-{sample.node.op}") for n, sample in enumerate(SAMPLES)]


def node_weights(sample: Sample, dtype: torch.dtype) -> NodeWeights:
    weights = sample.weights_in(torch.float32)
    weights = tuple(weight.to(dtype) for weight in weights)
    if product_of(sample.node) is None:
        return NodeWeights(sample.node, weights)
    return NodeWeights(sample.node, weights[1:], parts_of(sample.node, weights[0]), weights[0])


def charge(sample: Sample, rounding: Rounding = ROUNDING) -> Charge:
    weights = sample.weights_in(torch.float32)
    lengths = RULES[sample.node.op].lengths(sample.node, weights)
    return Charge(rounding, lengths, 0, 2, 0, (None,) * len(weights))


def in_double(boxes: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """Return the boxes in float64; what is one box stays one box."""
    found = {id(box): Interval(box.lower.double(), box.upper.double()) for box in boxes}
    return tuple(found[id(box)] for box in boxes)


@pytest.mark.parametrize("sample", EVERY)
@pytest.mark.parametrize("scale", [1.0, 1e-3, 300.0])
def test_an_outward_interval_contains_the_values_in_float64(sample: Sample, scale: float) -> None:
    boxes = scaled(sample, scale)
    box, _ = outward(node_weights(sample, torch.float32), boxes, charge(sample))
    weights = tuple(weight.float().double() for weight in sample.weights)
    for values in inputs_in(in_double(boxes), 6):
        seen = RULES[sample.node.op].forward(sample.node, weights, *values)
        known = seen.isfinite() & box.lower.isfinite() & box.upper.isfinite()
        inside = (box.lower.double() <= seen) & (seen <= box.upper.double())
        assert (inside | ~known).all()


@pytest.mark.parametrize("sample", EVERY)
@pytest.mark.parametrize("scale", [1.0, 1e-3, 300.0])
def test_rows_in_float32_lose_no_more_than_is_charged(sample: Sample, scale: float) -> None:
    """Rows pulled back in float32 lie below the function in float64, less what is charged."""
    operator, node, boxes = RULES[sample.node.op], sample.node, scaled(sample, scale)
    _, error = outward(node_weights(sample, torch.float32), boxes, charge(sample))
    rows = torch.randn(1, 5, *node.shape, generator=torch.Generator().manual_seed(1))
    weights = sample.weights_in(torch.float32)
    if operator.pull is not None:
        pulled = operator.pull(node, weights, rows)
    else:
        pulled = crown_lines(node, boxes).pull(rows.expand(len(boxes[0].lower), *rows.shape[1:]))
    lost = torch.zeros(1, 1) if error is None else magnitude(rows, error)
    for values in inputs_in(in_double(boxes), 6):
        double = tuple(weight.double() for weight in weights)
        outputs = operator.forward(node, double, *values).unsqueeze(1)
        seen = inner(rows.double(), outputs)
        # What float64 itself may lose in this comparison: far less than anything in float32.
        own = 1e-12 * inner(rows.double().abs(), outputs.abs())
        below = torch.zeros((), dtype=torch.float64)
        if pulled.bias is not None:
            below = below + pulled.bias.double()
        for coefficients, value in zip(pulled.coefficients, values, strict=True):
            below = below + inner(coefficients.double(), value.unsqueeze(1))
            own = own + 1e-12 * inner(coefficients.double().abs(), value.abs().unsqueeze(1))
        low = below - lost.double() - own
        assert ((low <= seen) | ~low.isfinite()).all()
        if operator.affine:
            assert (seen <= below + lost.double() + own).all()


def scaled(sample: Sample, scale: float) -> tuple[Interval, ...]:
    boxes = sample.boxes(torch.float32)
    if not RULES[sample.node.op].affine or sample.node.op == "limited":
        return boxes
    return tuple(Interval(scale * box.lower, scale * box.upper) for box in boxes)


@pytest.mark.parametrize("length", [1, 7, 500, 1100, 5000])
def test_a_sum_of_products_errs_by_no_more_than_gamma_of_its_chunks(length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    rows = torch.randn(1, 3, length, generator=generator) * torch.logspace(-3, 3, length)
    values = torch.randn(1, 1, length, generator=generator)
    exact = [
        sum(Fraction(a) * Fraction(v) for a, v in zip(row, values[0, 0].tolist(), strict=True))
        for row in rows[0].tolist()
    ]
    share = gamma(1 + chunked(length), UNITS["float32"])
    sizes = (rows.double().abs() * values.double().abs()).sum(2)[0].tolist()
    for found, true, size in zip(inner(rows, values)[0].tolist(), exact, sizes, strict=True):
        assert abs(Fraction(found) - true) <= Fraction(share * size)


def test_gamma_says_nothing_where_roundings_are_too_many() -> None:
    assert gamma(2.0**24, UNITS["float32"]) == float("inf")
    assert gamma(3, 0.0) == 0.0


def test_every_operator_states_its_rounding() -> None:
    unknown = [
        name for name, operator in RULES.items() if not operator.affine and operator.rounded is None
    ]
    assert not unknown


def test_a_networks_rounding_widens_what_real_numbers_leave() -> None:
    sample = next(s for s in SAMPLES if s.node.op == "linear" and len(s.weights) == 2)
    boxes = sample.boxes(torch.float32)
    real, of_real = outward(node_weights(sample, torch.float32), boxes, charge(sample))
    coarse = Rounding.of(torch.float32, "bfloat16")
    wide, of_wide = outward(node_weights(sample, torch.float32), boxes, charge(sample, coarse))
    assert (wide.lower < real.lower).all() and (wide.upper > real.upper).all()
    assert of_real is not None and of_wide is not None and bool((of_wide > of_real).all())
