"""Claims of docs/soundness.md, held against exact rational arithmetic at a small scale."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from boundmesh.bounds.methods.crown import bound_rows, intermediate_bounds
from boundmesh.bounds.methods.mixture import mixed_margin
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.outward import as_read
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import BallRegion, BoxRegion
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.bounds.sweep.whole_rows import input_rows
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.rounding import LARGEST, Rounding
from boundmesh.proof.guarantee import rounding_for
from boundmesh.search.contract import contract
from boundmesh.search.float64_bounds import region_in_double
from boundmesh.settings import Settings
from tests.networks import both_ways, problem, region, resnet


def exact_sum(row: torch.Tensor, point: torch.Tensor) -> Fraction:
    """`⟨row, point⟩` in rational arithmetic."""
    pairs = zip(row.flatten().tolist(), point.flatten().tolist(), strict=True)
    return sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction(0))


@pytest.mark.parametrize("size", [1e-38, 1e-30, 1e-20, 1.0, 1e18])
def test_a_balls_minimum_keeps_the_radius_of_small_and_large_rows(size: float) -> None:
    ball = BallRegion(torch.zeros(1, 3), torch.ones(1), 2.0)
    rows = torch.full((1, 1, 3), size)
    length = float(rows[0, 0, 0]) * 3**0.5
    assert ball.minimum(rows).item() == pytest.approx(-length, rel=1e-5)


def test_a_balls_minimum_is_not_a_number_where_a_row_is_none() -> None:
    ball = BallRegion(torch.zeros(1, 2), torch.ones(1), 2.0)
    assert ball.minimum(torch.tensor([[[torch.nan, 1.0]]])).isnan().all()


def test_the_interval_of_a_ball_contains_its_exact_ends() -> None:
    generator = torch.Generator().manual_seed(0)
    center, radius = torch.randn(200, 1, generator=generator), torch.rand(200, generator=generator)
    box = BallRegion(center, radius, 2.0).interval
    for c, r, low, high in zip(center, radius, box.lower, box.upper, strict=True):
        assert Fraction(low.item()) <= Fraction(c.item()) - Fraction(r.item())
        assert Fraction(high.item()) >= Fraction(c.item()) + Fraction(r.item())


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_halving_keeps_the_far_end_that_no_row_moves(side: float) -> None:
    """`lower + (upper − lower)` falls short of a tiny upper end."""
    tiny = 1e-20
    box = BoxRegion(torch.tensor([[-1.0]]), torch.tensor([[tiny]]))
    if side < 0:
        box = BoxRegion(-box.upper, -box.lower)
    rows, constants = torch.tensor([[[side]]]), torch.tensor([[-5.0]], dtype=torch.float64)
    left, _ = contract(box, rows, constants, torch.tensor([[0]]), torch.tensor([[True]]))
    assert left.lower.equal(box.lower) and left.upper.equal(box.upper)


def test_a_box_that_is_cut_keeps_every_point_that_its_row_allows() -> None:
    generator = torch.Generator().manual_seed(1)
    lower = torch.randn(50, 3, generator=generator)
    upper = lower + torch.rand(50, 3, generator=generator)
    rows = torch.randn(50, 1, 3, generator=generator)
    at_middle = (rows[:, 0] * (lower + upper) / 2).sum(1, True).double()
    constants = -at_middle - 0.2
    members, wanted = torch.tensor([[0]]), torch.ones(50, 1, dtype=torch.bool)
    left, _ = contract(BoxRegion(lower, upper), rows, constants, members, wanted)
    for d in range(50):
        for point in lower[d] + (upper[d] - lower[d]) * torch.rand(40, 3, generator=generator):
            value = exact_sum(rows[d], point) + Fraction(constants[d].item())
            if value <= 0 and bool(((point >= lower[d]) & (point <= upper[d])).all()):
                assert bool(((point >= left.lower[d]) & (point <= left.upper[d])).all())


def test_a_mixture_lies_below_its_rows_at_every_corner_in_exact_arithmetic() -> None:
    """A positive mixture refutes: at each point one of its rows must be as large."""
    generator = torch.Generator().manual_seed(2)
    lower, width = torch.randn(20, 3, generator=generator), torch.rand(20, 3, generator=generator)
    region = BoxRegion(lower, lower + width)
    rows = 1e3 * torch.randn(20, 2, 3, generator=generator)
    constants = torch.randn(20, 2, generator=generator)
    errors = Errors(Rounding.of(torch.float32))
    errors.underflow = torch.zeros(20)
    unit = 8 * 2.0**-24
    error = unit * (rows.abs() * (lower.abs() + width).unsqueeze(1)).sum(2)
    margin, lost = mixed_margin(region, rows, constants, error, errors)
    assert bool((lost > 0).all())
    for d in range(20):
        corners = torch.cartesian_prod(*torch.stack((region.lower[d], region.upper[d]), 1))
        for corner in corners:
            largest = max(
                exact_sum(rows[d, s], corner) + Fraction(constants[d, s].item()) for s in range(2)
            )
            assert Fraction(margin[d].item()) <= largest


def scaled(weight: float, element_type: str = "float32") -> Graph:
    """`y = weight·x` of one number."""
    nodes = (
        Node("x", "input", (), (1,), (), {}, ()),
        Node("y", "scale", ("x",), (1,), ((1,),), {}, ("w",)),
    )
    weights = {"w": np.asarray([weight], np.float32)}
    ports = (Port("x", (1,), element_type),), (Port("y", (1,), element_type),)
    return Graph(nodes, "x", "y", weights, *ports)


def least(graph: Graph, box: Interval, rounding: Rounding, dtype: torch.dtype) -> float:
    """A lower bound of the output on a box by CROWN."""
    program = Program(graph, "y")
    layout = OneDevice(graph, "cpu", dtype)
    problem = Problem(program, BoxRegion(box.lower, box.upper), layout, rounding=rounding)
    found = intermediate_bounds(problem, by_rows=True)
    rows = DenseRows(torch.ones(1, 1, 1, dtype=dtype))
    draw = problem.fixed_lines(found.bounds)
    return bound_rows(problem, "y", rows, draw, found.errors).item()


@pytest.mark.parametrize("network", ["float32", "float16", "bfloat16"])
def test_a_network_that_rounds_its_input_stays_above_its_bound(network: str) -> None:
    """Bounds in float64 count what rounding the input, the weight and the product takes."""
    types = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    for value in (0.1, 1 / 3, 0.7, 1.1):
        x = torch.tensor([[value]], dtype=torch.float64)
        bound = least(scaled(0.1), Interval(x, x), Rounding.of(torch.float64, network), x.dtype)
        narrow = types[network]
        weight = torch.tensor(np.float32(0.1)).to(narrow)
        assert Fraction(bound) <= Fraction((x.to(narrow) * weight).item())


def test_the_input_as_read_contains_what_the_network_rounds_it_to() -> None:
    x = torch.rand(200, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for name, kind in (("float32", torch.float32), ("float16", torch.float16)):
        box = as_read(Interval(x, x), Rounding.of(torch.float64, name))
        read = x.to(kind).double()
        assert bool(((box.lower <= read) & (read <= box.upper)).all())


def test_nothing_is_proved_where_the_network_may_overflow() -> None:
    x = torch.full((1, 1), 100.0)
    safe = Rounding.of(torch.float32, "float16")
    assert least(scaled(100.0), Interval(x, x), safe, x.dtype) > 9e3
    assert not least(scaled(1000.0), Interval(x, x), safe, x.dtype) > -1e30


def test_underflow_of_a_value_counts_as_often_as_its_coefficient() -> None:
    """A float16 that vanishes is multiplied by a thousand afterwards."""
    graph = scaled(1e-5)
    more = Node("z", "scale", ("y",), (1,), ((1,),), {}, ("v",))
    nodes, weights = (*graph.nodes, more), {**graph.weights, "v": np.asarray([6e4], np.float32)}
    graph = replace(graph, nodes=nodes, weights=weights, output="z")
    x = torch.full((1, 1), 1e-3)
    problem = Problem(
        Program(graph, "z"),
        BoxRegion(x, x),
        OneDevice(graph, "cpu", x.dtype),
        rounding=Rounding.of(x.dtype, "float16"),
    )
    found = intermediate_bounds(problem, by_rows=True)
    rows, draw = DenseRows(torch.ones(1, 1, 1)), problem.fixed_lines(found.bounds)
    bound = bound_rows(problem, "z", rows, draw, found.errors).item()
    half = x.half() * torch.tensor(1e-5).half() * torch.tensor(6e4).half()
    assert bound <= half.item() == 0


def test_several_arithmetics_count_the_most_that_any_of_them_loses() -> None:
    graph = scaled(0.1)
    layout = OneDevice(graph)
    found = rounding_for(graph, Settings(rounding="tf32+float16+bfloat16"), layout)
    assert found is not None
    assert found.network == 2.0**-8 and found.lost == 2.0**-14
    assert found.largest == LARGEST["float16"]


def test_float64_takes_over_the_same_region() -> None:
    box = BoxRegion(torch.tensor([[0.1]]), torch.tensor([[0.3]]))
    wide = region_in_double(box)
    assert isinstance(wide, BoxRegion)
    assert wide.lower.float().equal(box.lower) and wide.upper.float().equal(box.upper)


def test_a_sweep_has_the_same_rows_at_a_node_and_where_its_rounding_is_charged() -> None:
    graph = resnet(1)
    program = Program(graph, graph.output)
    rounding = Rounding.of(torch.float64, "real")
    task = replace(problem(graph, region(graph, 0.1)), rounding=rounding)
    found = intermediate_bounds(task, by_rows=True)
    draw = task.fixed_lines(found.bounds)
    (tile,) = task.tiles(graph.output, DenseRows(both_ways(graph)))
    assert program.charged_at and found.errors is not None
    for name, place in program.charged_at.items():
        assert name not in found.errors.by_node
        state = input_rows(task.layout, program, tile, draw, frozenset({name, place}))
        assert torch.equal(state.seen[name], state.seen[place])
