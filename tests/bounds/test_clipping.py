"""Clipping cuts off no point that matters, and all that one constraint allows to cut off."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from boundmesh.bounds.clipping.affine_values import AffineValues, affine_values
from boundmesh.bounds.clipping.constraints import Constraints, clip
from boundmesh.bounds.clipping.propagation import propagate
from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.relaxation.neurons import neurons_of
from boundmesh.bounds.sweep.region import BallRegion
from boundmesh.graph.forward import tensors, values
from boundmesh.operators.interval import Interval
from tests.networks import DTYPE, conv_net, mlp, problem, region, resnet

NETS = {"mlp": lambda: mlp(4, 9, 7, 3), "conv": conv_net, "resnet": resnet}


def affine(inputs: int, neurons: int, dtype: torch.dtype, seed: int) -> AffineValues:
    """Some random neurons."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(neurons, inputs, generator=generator, dtype=dtype)
    constants = torch.randn(neurons, generator=generator, dtype=dtype)
    return AffineValues(
        rows, constants, torch.zeros_like(constants), torch.arange(neurons), (inputs,)
    )


def boxes(affine: AffineValues, domains: int, seed: int) -> Interval:
    generator = torch.Generator().manual_seed(seed)
    shape, dtype = (domains, affine.inputs), affine.rows.dtype
    center = torch.randn(shape, generator=generator, dtype=dtype)
    radius = torch.rand(shape, generator=generator, dtype=dtype)
    return whole(affine, center - radius, center + radius)


def whole(affine: AffineValues, lower: Tensor, upper: Tensor) -> Interval:
    """The bounds of all values over boxes of the input."""
    reached = affine.ranges(lower, upper)
    return Interval(torch.cat([lower, reached.lower], 1), torch.cat([upper, reached.upper], 1))


def points(affine: AffineValues, box: Interval, count: int) -> tuple[Tensor, Tensor]:
    """Inputs `[D, count, n]` in float64, half of them corners, and all values there."""
    lower, upper = (each[:, None, : affine.inputs].double() for each in (box.lower, box.upper))
    share = torch.rand(len(lower), count, affine.inputs, dtype=torch.float64)
    share[:, : count // 2] = share[:, : count // 2].round()
    x = (lower + share * (upper - lower)).clamp(lower, upper)
    return x, torch.cat([x, x @ affine.rows.double().T + affine.constants.double()], dim=2)


def unconditional(rows: Tensor, constants: Tensor, count: int) -> Constraints:
    nothing = rows.new_zeros(*rows.shape[:2], count)
    return Constraints(rows, constants, nothing, nothing)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(5))
def test_points_that_satisfy_all_constraints_and_bounds_are_kept(dtype, seed):
    torch.manual_seed(seed)
    some = affine(5, 12, dtype, seed)
    box = boxes(some, 6, seed)
    x, q = points(some, box, 4000)
    rows = torch.randn(6, 2, 5, dtype=dtype)
    # Two constraints that hold at one point, and a neuron's sign there: the rest may go.
    held = x[:, 0]
    constants = -(rows.double() * held[:, None]).sum(2).to(dtype) - torch.rand(6, 2).to(dtype)
    place = some.inputs + seed
    upper = box.upper.clone()
    upper[:, place] = torch.minimum(upper[:, place], q[:, 0, place].to(dtype) + 0.1)
    found = clip(some, Interval(box.lower, upper), unconditional(rows, constants, 12))
    matters = (
        torch.einsum("dpi,dsi->dps", x, rows.double()) + constants.double()[:, None] <= 0
    ).all(2)
    matters &= q[:, :, place] <= upper[:, None, place]
    assert matters.sum() > 20
    kept = (q >= found.lower[:, None].double()) & (q <= found.upper[:, None].double())
    assert kept.all(2)[matters].all()
    assert (found.upper - found.lower).sum() < 0.9 * (box.upper - box.lower).sum()


def least_at_vertices(w: Tensor, low: Tensor, high: Tensor, a: Tensor, k: float) -> float:
    """min ⟨w, x⟩ over the box and `⟨a, x⟩ + k ≤ 0`: it is at a corner or on an edge of the box."""
    best = float("inf")
    ends = zip(low.tolist(), high.tolist(), strict=True)
    corners = [torch.tensor(corner, dtype=DTYPE) for corner in itertools.product(*ends)]
    for corner, free in itertools.product(corners, range(-1, len(w))):
        x = corner.clone()
        if free >= 0:
            x[free] = 0
            x[free] = -(k + float(a @ x)) / float(a[free])
            if not low[free] <= x[free] <= high[free]:
                continue
        elif a @ x + k > 0:
            continue
        best = min(best, float(w @ x))
    return best


@pytest.mark.parametrize("seed", range(6))
def test_one_constraint_gives_every_value_its_exact_range(seed):
    torch.manual_seed(seed)
    some = affine(3, 6, DTYPE, seed)
    box = boxes(some, 1, seed)
    low, high = box.lower[0, :3], box.upper[0, :3]
    a = torch.randn(3, dtype=DTYPE)
    k = -float(a @ (low + torch.rand(3, dtype=DTYPE) * (high - low)))
    constraint = unconditional(a[None, None], torch.tensor([[k]], dtype=DTYPE), 6)
    found = clip(some, box, constraint)
    rows = torch.cat([torch.eye(3, dtype=DTYPE), some.rows])
    constants = torch.cat([torch.zeros(3, dtype=DTYPE), some.constants])
    for value, (w, t) in enumerate(zip(rows, constants, strict=True)):
        least = least_at_vertices(w, low, high, a, k) + float(t)
        most = float(t) - least_at_vertices(-w, low, high, a, k)
        assert found.lower[0, value].item() == pytest.approx(least, abs=1e-9)
        assert found.upper[0, value].item() == pytest.approx(most, abs=1e-9)


def test_constraints_that_contradict_each_other_leave_nothing():
    some = affine(2, 1, DTYPE, 0)
    box = whole(some, torch.zeros(1, 2, dtype=DTYPE), torch.ones(1, 2, dtype=DTYPE))
    rows = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]], dtype=DTYPE)
    found = clip(some, box, unconditional(rows, torch.tensor([[-0.4, 0.6]], dtype=DTYPE), 1))
    assert (found.lower > found.upper).any()


def test_a_bound_that_one_point_attains_fixes_every_input_there():
    rows = torch.tensor([[1.0, 1.0, -1.0]], dtype=DTYPE)
    sums = AffineValues(
        rows, torch.zeros(1, dtype=DTYPE), torch.zeros(1, dtype=DTYPE), torch.tensor([0]), (3,)
    )
    box = whole(sums, torch.zeros(1, 3, dtype=DTYPE), torch.ones(1, 3, dtype=DTYPE))
    lower = box.lower.clone()
    lower[0, 3] = 2.0
    found = propagate(sums, Interval(lower, box.upper))
    expected = torch.tensor([[1.0, 1.0, 0.0]], dtype=DTYPE)
    assert torch.allclose(found.lower[:, :3], expected, atol=1e-9)
    assert torch.allclose(found.upper[:, :3], expected, atol=1e-9)


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_inputs_that_no_constraint_reads_keep_their_ranges(zero, sign):
    rows = torch.tensor([[sign, zero, 0.0], [2 * sign, zero, -0.0]], dtype=DTYPE)
    some = AffineValues(
        rows, torch.zeros(2, dtype=DTYPE), torch.zeros(2, dtype=DTYPE), torch.tensor([0, 1]), (3,)
    )
    box = whole(some, -torch.ones(1, 3, dtype=DTYPE), torch.ones(1, 3, dtype=DTYPE))
    upper = box.upper.clone()
    upper[0, 3] = 0.5
    row = torch.tensor([[[sign, zero, -zero]]], dtype=DTYPE)
    constraint = unconditional(row, torch.tensor([[0.25]], dtype=DTYPE), 2)
    found = clip(some, Interval(box.lower, upper), constraint)
    assert not (found.lower > found.upper).any()
    assert (found.lower[0, 1:3] == -1).all() and (found.upper[0, 1:3] == 1).all()
    cut = found.upper[0, 0] if sign > 0 else -found.lower[0, 0]
    assert cut.item() == pytest.approx(-0.25)


def test_a_row_that_is_no_number_cuts_nothing():
    some = affine(3, 4, DTYPE, 0)
    box = boxes(some, 2, 0)
    rows = torch.full((2, 1, 3), torch.nan, dtype=DTYPE)
    found = clip(some, box, unconditional(rows, torch.zeros(2, 1, dtype=DTYPE), 4))
    assert torch.allclose(found.lower, box.lower) and torch.allclose(found.upper, box.upper)


@pytest.mark.parametrize("name", NETS)
def test_affine_values_are_what_the_first_neurons_read(name):
    graph = NETS[name]()
    box = region(graph, 0.6)
    task = problem(graph, box)
    bounds = intermediate_bounds(task, by_rows=True).sharpest
    neurons = neurons_of(task.program, bounds)
    some = affine_values(task, bounds, neurons)
    assert some is not None and len(some.places)
    x = box.lower + torch.rand(20, *box.lower.shape[1:], dtype=DTYPE) * (box.upper - box.lower)
    seen = values(graph, tensors(graph, DTYPE), x)
    every = torch.cat(
        [
            seen[node.inputs[0]].flatten(1)[:, neurons.unstable[node.name].index]
            for node in task.program.nonlinear
        ],
        dim=1,
    )
    assert torch.allclose(x.flatten(1) @ some.rows.T + some.constants, every[:, some.places])


def test_balls_and_boxes_without_end_are_not_clipped():
    graph = mlp(4, 9, 7, 3)
    box = region(graph, 0.6)
    task = problem(graph, box)
    bounds = intermediate_bounds(task, by_rows=True).sharpest
    neurons = neurons_of(task.program, bounds)
    ball = BallRegion(box.lower, torch.ones(1, dtype=DTYPE), 2.0)
    assert affine_values(replace(task, region=ball), bounds, neurons) is None
    endless = replace(box, upper=torch.full_like(box.upper, torch.inf))
    assert affine_values(replace(task, region=endless), bounds, neurons) is None
