"""Rows through two-piece neurons in one pass are what drawn lines and autograd give.

Runs on a GPU with Triton, and where TRITON_INTERPRET=1 lets Triton interpret on the CPU.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from boundmesh.bounds.methods.adam import StepSizes
from boundmesh.bounds.relaxation.slopes import Slope
from boundmesh.kernels import fused_rows
from boundmesh.kernels.gradient_use import NO_GRADIENT, AdamSteps, GradientNotes
from boundmesh.kernels.pieces import Pieces
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from tests.kernels import DEVICE, close, needs_kernels

pytestmark = needs_kernels
OPERATORS = [("relu", 0.0), ("leaky_relu", 0.1), ("abs", -1.0)]
SHAPES = [(1, 40, 700), (3, 1, 300), (2, 5, 17)]
each_operator = pytest.mark.parametrize(("op", "slope"), OPERATORS, ids=lambda each: str(each))
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


class Case:
    """Boxes of every kind, α for the unstable neurons of some domain, rows and gradients."""

    def __init__(self, op: str, slope: float, shape: tuple[int, int, int], seed: int = 0) -> None:
        domains, rows, size = shape
        generator = torch.Generator().manual_seed(seed)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(DEVICE)

        center, radius = random(domains, size), random(domains, size).abs()
        kind = torch.arange(size, device=DEVICE) % 5
        radius = torch.where(kind == 1, 0.0, radius)
        self.box = Interval(center - radius, center + radius)
        self.box = Interval(
            torch.where(kind == 2, 0.0, self.box.lower.clamp(max=3)),
            torch.where(kind == 2, radius, self.box.upper),
        )
        self.node = Node("a", op, ("z",), (size,), ((size,),), {"slope": slope})
        self.slope = slope
        unstable = (self.box.lower < 0) & (self.box.upper > 0)
        self.index = unstable.any(0).nonzero().squeeze(1)
        self.places = torch.full((size,), -1, dtype=torch.int32, device=DEVICE)
        self.places[self.index] = torch.arange(len(self.index), dtype=torch.int32, device=DEVICE)
        self.alpha = random(domains, rows, len(self.index)).abs().clamp(max=1).half()
        self.rows = random(domains, rows, size)
        self.gradient, self.of_bias = random(domains, rows, size), random(domains, rows)

    @property
    def pieces(self) -> Pieces:
        return Pieces(self.slope, self.box.lower, self.box.upper, self.places, self.alpha)

    def drawn(self, rows: Tensor, alpha: Tensor, box: Interval) -> tuple[Tensor, Tensor]:
        """What the operator's lines pull rows back to, in float64 where these are."""
        relax = RULES[self.node.op].relax
        assert relax is not None
        wide = alpha.new_zeros(rows.shape).index_copy(2, self.index, alpha)
        pulled = relax(self.node, (box,), wide).pull(rows)
        assert pulled.coefficients[0] is not None and pulled.bias is not None
        return pulled.coefficients[0], pulled.bias

    def gradients(self) -> list[Tensor]:
        """To rows, α, l and u, by autograd in float64."""
        leaves = [
            each.double().requires_grad_()
            for each in (self.rows, self.alpha, self.box.lower, self.box.upper)
        ]
        rows, alpha, lower, upper = leaves
        found, bias = self.drawn(rows, alpha, Interval(lower, upper))
        total = (found * self.gradient).sum() + (bias * self.of_bias).sum()
        return list(torch.autograd.grad(total, leaves))


@each_operator
@each_shape
def test_pulled_rows_are_those_of_the_lines(op: str, slope: float, shape) -> None:
    case = Case(op, slope, shape)
    found, bias = case.pieces.pull(case.rows)
    doubles = Interval(case.box.lower.double(), case.box.upper.double())
    expected, expected_bias = case.drawn(case.rows.double(), case.alpha.double(), doubles)
    close(found, expected)
    close(bias, expected_bias)


@each_operator
@each_shape
def test_without_slopes_the_lines_are_those_of_crown(op: str, slope: float, shape) -> None:
    case = Case(op, slope, shape)
    initial = RULES[op].initial
    assert initial is not None
    alpha = initial(case.node, (case.box,))[:, None, case.index].expand(case.alpha.shape)
    one = replace(case.pieces, alpha=alpha.half().contiguous()).pull(case.rows)
    other = replace(case.pieces, alpha=None, places=None).pull(case.rows)
    assert all(torch.allclose(a, b) for a, b in zip(one, other, strict=True))


def back(case: Case, pieces: Pieces, tick: Tensor) -> list[Tensor]:
    rows = case.rows.clone().requires_grad_()
    ends = [each.clone().requires_grad_() for each in (case.box.lower, case.box.upper)]
    found, bias = replace(pieces, lower=ends[0], upper=ends[1]).pull(rows)
    leaves = [rows, *ends, tick]
    outputs, gradients = [found, bias], [case.gradient, case.of_bias]
    return list(torch.autograd.grad(outputs, leaves, gradients, allow_unused=True))[:3]


@each_operator
@each_shape
def test_noted_gradients_are_those_of_autograd(op: str, slope: float, shape) -> None:
    case, tick = Case(op, slope, shape), torch.zeros((), device=DEVICE, requires_grad=True)
    alpha, beta = case.alpha.float(), torch.rand_like(case.alpha.float())
    splits = (torch.arange(alpha.shape[2], device=DEVICE) % 3 - 1).to(torch.int8)
    splits = splits.expand(len(alpha), -1).contiguous()
    notes = GradientNotes(torch.zeros_like(alpha), torch.zeros_like(beta), tick)
    pieces = replace(case.pieces, alpha=alpha, beta=beta, splits=splits, gradient_use=notes)
    plain, _ = replace(pieces, beta=None, splits=None, gradient_use=NO_GRADIENT).pull(case.rows)
    split, _ = pieces.pull(case.rows)
    lowered = torch.zeros_like(plain).index_copy(2, case.index, beta * splits.unsqueeze(1))
    close(split, plain - lowered)
    rows, lower, upper = back(case, pieces, tick)
    expected = case.gradients()
    close(rows, expected[0])
    close(notes.alpha, expected[1])
    # Where a bound is zero the sign is known: its gradient on the other side does not count.
    inside = (case.box.lower != 0) & (case.box.upper != 0)
    for found, other in zip((lower, upper), expected[2:], strict=True):
        close(found[inside], other[inside])
    close(notes.beta, -splits.unsqueeze(1) * case.gradient[..., case.index])


@each_shape
def test_a_step_taken_on_the_way_back_is_the_step_of_adam(shape) -> None:
    case, tick = Case("relu", 0.0, shape), torch.zeros((), device=DEVICE, requires_grad=True)
    moments = [torch.zeros_like(case.alpha, dtype=torch.bfloat16) for _ in range(2)]
    other = Slope(case.alpha.clone(), *(each.clone() for each in moments))
    pace = StepSizes(1, case.rows.float())
    for step in (1, 2):
        pace.set((0.2, step))
        gradient = case.gradients()[1].float()
        other.ascend(gradient, pace.steps[0])
        steps = AdamSteps(moments[0], moments[1], pace.steps[0], tick)
        back(case, replace(case.pieces, gradient_use=steps), tick)
        # A gradient that rounding alone makes may step either way.
        sure = gradient.abs() > 1e-5
        near = {"rtol": 1e-2, "atol": 2e-3}  # both are stored in 16 bits
        torch.testing.assert_close(case.alpha[sure], other.value[sure], **near)
        torch.testing.assert_close(moments[0], other.first, **near)
        other.value.copy_(case.alpha)


@each_shape
def test_own_bounds_count_where_they_are_given(shape) -> None:
    case = Case("relu", 0.0, shape)
    lower, upper = case.box.lower.clone(), case.box.upper.clone()
    own = (lower[:, case.index] / 2, upper[:, case.index] / 3)
    halved = lower.index_copy(1, case.index, own[0]), upper.index_copy(1, case.index, own[1])
    found = replace(case.pieces, tighter_bounds=own).pull(case.rows)
    expected = replace(case.pieces, lower=halved[0], upper=halved[1]).pull(case.rows)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@each_shape
def test_bounds_that_are_a_piece_of_others_give_the_same_bits(shape) -> None:
    case, tick = Case("relu", 0.0, shape), torch.zeros((), device=DEVICE, requires_grad=True)
    ends = case.box.lower, case.box.upper
    lower, upper = (torch.cat([e, e, e], 1).narrow(1, e.shape[1], e.shape[1]) for e in ends)
    piece = replace(case.pieces, lower=lower, upper=upper)
    for found, other in zip(piece.pull(case.rows), case.pieces.pull(case.rows), strict=True):
        assert torch.equal(found, other)
    expected = back(case, case.pieces, tick)
    case.box = Interval(lower, upper)
    for found, other in zip(back(case, piece, tick), expected, strict=True):
        assert torch.equal(found, other)


@each_shape
def test_the_bias_alone_is_that_of_the_pulled_rows(shape) -> None:
    case = Case("relu", 0.0, shape)
    assert torch.equal(case.pieces.bias(case.rows.clone()), case.pieces.pull(case.rows)[1])


def test_a_row_has_the_same_bits_alone_and_among_others() -> None:
    case = Case("relu", 0.0, (2, 5, 700))
    found, bias = case.pieces.pull(case.rows)
    one = replace(case.pieces, alpha=case.alpha[:, 3:4])
    alone, bias_alone = one.pull(case.rows[:, 3:4])
    assert torch.equal(alone[:, 0], found[:, 3]) and torch.equal(bias_alone[:, 0], bias[:, 3])


def test_nan_is_kept() -> None:
    nan = float("nan")
    ends = torch.tensor([[-1.0, nan, -1.0]], device=DEVICE), torch.ones(1, 3, device=DEVICE)
    rows = torch.tensor([[[nan, -1.0, -1.0]]], device=DEVICE)
    found, bias = Pieces(0.0, *ends).pull(rows)
    assert found.isnan().tolist() == [[[True, True, False]]] and bias.isnan().all()


@pytest.mark.parametrize("domains", [1, 3])
@pytest.mark.parametrize("shared", [False, True])
def test_signed_sums_are_those_of_plain_products(domains: int, shared: bool) -> None:
    rows = torch.randn(1 if shared else domains, 7, 1500, device=DEVICE)
    below, above = (torch.randn(domains, 1, 1500, device=DEVICE) for _ in range(2))
    exact = torch.where(rows >= 0, below, above).double() * rows.double()
    close(fused_rows.signed_inner(rows, below, above), exact.sum(2))
    alone = fused_rows.signed_inner(rows[:, 2:3], below, above)
    assert torch.equal(alone[:, 0], fused_rows.signed_inner(rows, below, above)[:, 2])


EARLIER = [(1, 1), (3, 3), (3, 1), (1, 3)]
"""Domains of the rows, and of a bias that they had before."""


@torch.no_grad()
@pytest.mark.parametrize(("domains", "before"), EARLIER)
def test_a_sum_added_by_its_kernel_has_the_bits_of_one_added_later(domains, before) -> None:
    onto = torch.randn(before, 7, device=DEVICE)
    rows = torch.randn(domains, 7, 1500, device=DEVICE)
    below, above = (torch.randn(1, 1, 1500, device=DEVICE) for _ in range(2))
    alone = fused_rows.signed_inner(rows, below, above)
    assert torch.equal(fused_rows.signed_inner(rows, below, above, onto), onto + alone)
    pieces = Pieces(0.0, below[0] - 1, below[0] + 1)
    (expected, alone), (found, total) = pieces.pull(rows), pieces.pull(rows, onto)
    assert torch.equal(total, onto + alone) and torch.equal(found, expected)


@pytest.mark.parametrize(("domains", "before"), EARLIER)
def test_gradients_reach_an_earlier_bias_and_pass_it_by(domains: int, before: int) -> None:
    rows = torch.randn(domains, 7, 30, device=DEVICE, requires_grad=True)
    onto = torch.randn(before, 7, device=DEVICE, requires_grad=True)
    lower = -torch.rand(1, 30, device=DEVICE)
    pieces = Pieces(0.0, lower, -lower)
    (found, bias), (alone, own) = pieces.pull(rows, onto), pieces.pull(rows)
    weight = torch.randn_like(bias)
    to_rows, to_onto = torch.autograd.grad([found, bias], [rows, onto], [found.detach(), weight])
    own_weight = weight if len(weight) == domains else weight.sum(0, keepdim=True)
    (expected,) = torch.autograd.grad([alone, own], [rows], [alone.detach(), own_weight])
    assert torch.equal(to_rows, expected)
    assert torch.equal(to_onto, weight if before == len(weight) else weight.sum(0, keepdim=True))


def test_an_earlier_bias_whose_rows_lie_apart_is_added_once() -> None:
    rows, values = torch.randn(2, 7, 30, device=DEVICE), torch.randn(1, 1, 30, device=DEVICE)
    onto = torch.randn(7, 2, device=DEVICE).mT
    assert not onto.is_contiguous()
    alone = fused_rows.signed_inner(rows, values, values)
    assert torch.equal(fused_rows.signed_inner(rows, values, values, onto), onto + alone)
    pieces = Pieces(0.0, -values[0].abs() - 1, values[0].abs() + 1)
    assert torch.equal(pieces.pull(rows, onto)[1], onto + pieces.pull(rows)[1])


def test_a_sum_of_nothing_is_the_earlier_one() -> None:
    rows, onto = torch.zeros(2, 3, 0, device=DEVICE), torch.randn(1, 3, device=DEVICE)
    values = torch.zeros(1, 1, 0, device=DEVICE)
    assert torch.equal(fused_rows.signed_inner(rows, values, values, onto), onto.expand(2, 3))
