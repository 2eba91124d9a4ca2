"""CROWN with rows in windows: the bounds of dense rows, which hold at every point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from boundmesh.bounds.methods.alpha import StepSchedule, alpha_crown
from boundmesh.bounds.methods.bound_gradients import Gradients
from boundmesh.bounds.methods.crown import crown, unstable_neurons
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.methods.sloped_rows import Sloped
from boundmesh.bounds.sweep.largest_row import windowed_row
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.node_weights import visits
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import BallRegion, BoxRegion, Region
from boundmesh.bounds.sweep.rows import DenseRows, Tile, UnitRows, both_sides
from boundmesh.bounds.sweep.whole_rows import WholeRows
from boundmesh.graph.forward import tensors, values
from boundmesh.graph.graph import Graph
from boundmesh.kernels.imagined_gpu import ImaginedGPU, imagining
from boundmesh.kernels.pieces import Pieces
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.rounding import Rounding
from tests.networks import encoder_decoder, maps, pooled_maps


class DenseDevice(OneDevice):
    """A device whose rows are never windows."""

    windows = False


def problem_of(
    graph: Graph,
    device: type[OneDevice],
    dtype: torch.dtype = torch.float64,
    rounding: Rounding | None = None,
    region: Region | None = None,
) -> Problem:
    if region is None:
        generator = torch.Generator().manual_seed(3)
        center = torch.randn(2, *graph[graph.input].shape, generator=generator).to(dtype)
        region = BoxRegion(center - 0.05, center + 0.05)
    layout = device(graph, "cpu", dtype)
    return Problem(Program(graph, graph.output), region, layout, 2**16, rounding=rounding)


def outputs(problem: Problem) -> DenseRows:
    program = problem.program
    shape, size = program.graph[program.target].shape, program.graph[program.target].size
    eye = torch.eye(size, dtype=problem.layout.dtype).reshape(1, size, *shape)
    return DenseRows(torch.cat([eye, -eye], 1))


def ends(found: tuple[Tensor, dict[str, Interval]]) -> list[Tensor]:
    lowest, bounds = found
    return [lowest, *(end for box in bounds.values() for end in (box.lower, box.upper))]


EVERY = pytest.mark.parametrize(
    ("activation", "axes"),
    [("relu", 1), ("relu", 2), ("relu", 3), ("leaky_relu", 2), ("sigmoid", 2)],
)


@EVERY
def test_crown_in_windows_is_crown(activation: str, axes: int) -> None:
    graph = maps(0, activation, axes)
    plain, in_windows = (problem_of(graph, device) for device in (DenseDevice, OneDevice))
    found = ends(crown(in_windows, outputs(in_windows)))
    expected = ends(crown(plain, outputs(plain)))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("axes", [1, 2])
def test_tiles_that_are_divided_on_their_way_have_the_same_bounds(axes: int) -> None:
    graph = maps(0, "relu", axes)
    whole = problem_of(graph, OneDevice)
    parts = replace(whole, tile_elements=2**9)
    count = graph[whole.program.starts[-2]].size
    rows = both_sides(torch.arange(count), torch.float64)
    tiles = [tile for s in whole.program.starts[-2:-1] for tile in parts.tiles(s, rows)]
    assert any(tile.divisions for tile in tiles)
    found, expected = (ends(crown(each, outputs(each))) for each in (parts, whole))
    torch.testing.assert_close(found, expected)


def test_most_start_nodes_have_rows_in_windows() -> None:
    program = Program(maps(0), maps(0).output)
    sizes = [windowed_row(program, start) for start in program.starts]
    dense = [program.widest(start) for start in program.starts]
    assert all(
        size is not None and size < wide for size, wide in zip(sizes[1:4], dense[1:4], strict=True)
    )


def test_tiles_are_windowed_only_where_the_layout_allows_it() -> None:
    for device in (DenseDevice, OneDevice):
        problem = problem_of(maps(0), device)
        start = problem.program.starts[2]
        rows = both_sides(torch.arange(6), torch.float64)
        assert {tile.windowed for tile in problem.tiles(start, rows)} == {device is OneDevice}


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sampled_points_lie_inside_bounds_of_windows(
    activation: str, axes: int, dtype: torch.dtype
) -> None:
    graph = maps(1, activation, axes)
    problem = problem_of(graph, OneDevice, dtype, Rounding.of(dtype, "real"))
    holds_at_samples(problem, 20)


def holds_at_samples(problem: Problem, count: int) -> None:
    """Check bounds of all start nodes at corners of the region, in exact weights."""
    graph = problem.program.graph
    region = problem.region
    assert isinstance(region, BoxRegion)
    _, bounds = crown(problem, outputs(problem))
    exact = tensors(graph, torch.float64)
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        share = torch.rand(region.lower.shape, generator=generator, dtype=torch.float64).round()
        x = region.lower.double() + share * (region.upper - region.lower).double()
        found = values(graph, exact, x)
        for name, box in bounds.items():
            assert (found[name] >= box.lower).all() and (found[name] <= box.upper).all()


def test_what_rounding_takes_off_is_that_of_dense_rows() -> None:
    graph = maps(2)
    taken = []
    for device in (DenseDevice, OneDevice):
        problem = problem_of(graph, device, torch.float32, Rounding.of(torch.float32, "float32"))
        free = replace(problem, rounding=None)
        lowered, plain = (crown(each, outputs(each))[0] for each in (problem, free))
        taken.append(plain - lowered)
    assert (taken[1] > 0).all()
    torch.testing.assert_close(taken[1], taken[0], rtol=0.1, atol=1e-5)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_balls_are_bounded_in_windows(p: float) -> None:
    graph = maps(3)
    center = torch.randn(1, *graph[graph.input].shape, dtype=torch.float64)
    region = BallRegion(center, torch.tensor([0.3], dtype=torch.float64), p)
    plain, in_windows = (
        problem_of(graph, device, region=region) for device in (DenseDevice, OneDevice)
    )
    found = ends(crown(in_windows, outputs(in_windows)))
    torch.testing.assert_close(found, ends(crown(plain, outputs(plain))))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_slopes_climb_in_windows_as_they_climb_in_dense_rows(axes: int) -> None:
    graph, found = maps(4, axes=axes), []
    for device in (DenseDevice, OneDevice):
        problem = problem_of(graph, device)
        optimised = alpha_crown(problem, outputs(problem), StepSchedule(iterations=3))
        found.append(ends((optimised.lower, dict(optimised.bounds))))
    # Adam divides gradients by their size, so rounding in a gradient moves α.
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_gradients_to_bounds_pass_windows_as_they_pass_dense_rows() -> None:
    graph, parts = maps(5), []
    for device in (DenseDevice, OneDevice):
        problem = problem_of(graph, device)
        _, bounds = crown(problem, outputs(problem))
        sloped = Sloped.of(problem, bounds, None)
        start = problem.program.starts[-1]
        index = unstable_neurons(problem.program, start, bounds)[:8]
        rows = sloped.rows(start, index, both_sides(index, torch.float64))
        assert all(tile.windowed == (device is OneDevice) for tile in rows.tiles)
        into = Gradients(bounds)
        weight = torch.ones(2, 2 * len(index), dtype=torch.float64)
        sloped.step_slopes(rows, bounds, weight, into, torch.tensor([0.0, 1.0, 1.0]))
        every = [
            into.of_rows(name, torch.arange(graph[name].size)) for name in problem.program.starts
        ]
        parts.append([each for each in every if each is not None])
    assert any(each.any() for each in parts[0])
    torch.testing.assert_close(parts[1], parts[0])


class WithEmptyTiles(OneDevice):
    """A device that sweeps a tile without rows after every other, as a rank of a mesh may."""

    def deal(self, tiles: Sequence[Tile]) -> Sequence[Tile]:
        nothing = slice(0, 0)
        return [*tiles, Tile(tiles[0].start, nothing, tiles[0].rows.part(nothing))]

    def join(self, mine: Sequence[Tensor], widths: Sequence[int]) -> Sequence[Tensor]:
        return mine[:-1]


def test_tiles_without_rows_change_nothing() -> None:
    found = []
    for device in (OneDevice, WithEmptyTiles):
        problem = problem_of(maps(6), device)
        found.append(alpha_crown(problem, outputs(problem), StepSchedule(iterations=1)).lower)
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize("hopper", [True, False])
@pytest.mark.parametrize("graph", [maps(1, "relu", 2), encoder_decoder()], ids=["maps", "encoder"])
def test_on_a_gpu_rows_have_the_form_of_those_of_a_tile_without_rows(
    graph: Graph, hopper: bool
) -> None:
    """Ranks with too few tiles sweep tiles without rows, beside others of the same wave."""
    with torch.no_grad(), imagining(ImaginedGPU(hopper, lambda name, arguments: None)):
        end = torch.zeros(1, *graph[graph.input].shape, device="meta")
        layout = OneDevice(graph, "meta")
        problem = Problem(Program(graph, graph.output), BoxRegion(end, end), layout)
        for start in problem.program.starts:
            index = torch.arange(4)
            rows = UnitRows(index.to("meta"), torch.ones(4, device="meta"), index.numpy(), 2)
            tiles = [Tile(start, part, rows.part(part)) for part in (slice(0, 4), slice(0, 0))]
            state, draw = WholeRows(layout, problem.program, problem.region, tiles), zero_lines
            for node_weights in layout.stream(visits(problem.program.order(start))):
                state.pass_node(node_weights, draw)
                one, other = (each.coefficients for each in state._carried)
                assert {name: type(each) for name, each in one.items()} == {
                    name: type(each) for name, each in other.items()
                }


def zero_lines(node: Node, tile: Tile) -> Pieces:
    end = torch.zeros(1, *node.shape, device="meta")
    return Pieces(0.0, end, end)


def test_pools_pass_windows_and_bounds_stay_those_of_dense_rows() -> None:
    graph = pooled_maps(7)
    plain, in_windows = (problem_of(graph, device) for device in (DenseDevice, OneDevice))
    program = in_windows.program
    sizes = [windowed_row(program, start) for start in program.starts]
    assert sum(size is not None and size < program.widest(program.target) for size in sizes) > 2
    found = ends(crown(in_windows, outputs(in_windows)))
    torch.testing.assert_close(found, ends(crown(plain, outputs(plain))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sampled_points_lie_inside_bounds_of_pools(dtype: torch.dtype) -> None:
    graph = pooled_maps(8)
    problem = problem_of(graph, OneDevice, dtype, Rounding.of(dtype, "real"))
    holds_at_samples(problem, 20)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_crown_of_maps_that_shrink_and_grow_is_that_of_dense_rows(activation: str) -> None:
    graph = encoder_decoder(9, activation)
    plain, in_windows = (problem_of(graph, device) for device in (DenseDevice, OneDevice))
    program = in_windows.program
    sizes = {start: windowed_row(program, start) for start in program.starts}
    grown = next(node.name for node in program.nodes if node.op == "concat")
    assert (sizes[grown] or torch.inf) < program.widest(grown)
    found = ends(crown(in_windows, outputs(in_windows)))
    torch.testing.assert_close(found, ends(crown(plain, outputs(plain))))


def test_slopes_climb_where_maps_grow_as_they_climb_in_dense_rows() -> None:
    graph, found = encoder_decoder(10), []
    for device in (DenseDevice, OneDevice):
        problem = problem_of(graph, device)
        optimised = alpha_crown(problem, outputs(problem), StepSchedule(iterations=2))
        found.append(ends((optimised.lower, dict(optimised.bounds))))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
