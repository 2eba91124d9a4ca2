"""Parts of a sweep that are recorded on a GPU have the same bits as those that are not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from boundmesh.bounds.methods import ahead
from boundmesh.bounds.methods import crown as method
from boundmesh.bounds.methods.ahead import NOTHING, Ahead
from boundmesh.bounds.methods.crown import crown, intermediate_bounds
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.fixed_lines import FixedLines
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.node_weights import visits
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.repeats import Repeat, repeats_of, tensors_of
from boundmesh.bounds.sweep.rows import (
    DenseRows,
    Division,
    Tile,
    both_sides,
    into_tiles,
    side_by_side,
)
from boundmesh.bounds.sweep.stretches import Stretch, cheapest, passes_from, stretches
from boundmesh.bounds.sweep.tile_heights import (
    divisions,
    evened,
    fixed_tiling,
    tiling,
)
from boundmesh.bounds.sweep.whole_rows import WholeRows
from boundmesh.graph.graph import Graph
from boundmesh.kernels.once import Tables, during_recording, keeping, stored_table
from boundmesh.operators.node import Node
from boundmesh.operators.rounding import Rounding
from boundmesh.plan.machine import HOPPER, OTHER_GPU, Machine
from boundmesh.plan.meter import Meter
from boundmesh.plan.neurons import Unstable
from boundmesh.plan.rehearsal import Bounding, rehearse
from tests.host_values import never_waits
from tests.networks import encoder_decoder, maps, pooled_maps

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
MAPS = {
    "1d": maps(1, "relu", 1),
    "2d": maps(2, "relu", 2),
    "3d": maps(3, "relu", 3),
    "sigmoid": maps(4, "sigmoid", 2),
    "pools": pooled_maps(5),
    "encoder": encoder_decoder(6, "relu"),
}


def problem_of(graph: Graph, device: str, tile_elements: int = 2**12) -> Problem:
    center = torch.randn(2, *graph[graph.input].shape, generator=torch.Generator().manual_seed(3))
    region = BoxRegion((center - 0.05).to(device), (center + 0.05).to(device))
    layout = OneDevice(graph, device)
    rounding = Rounding.of(torch.float32, "real")
    return Problem(Program(graph, graph.output), region, layout, tile_elements, rounding=rounding)


def outputs(problem: Problem) -> DenseRows:
    node = problem.program.graph[problem.program.target]
    eye = torch.eye(node.size, device=problem.layout.device).reshape(1, node.size, *node.shape)
    return DenseRows(torch.cat([eye, -eye], 1))


@cache
def sweeps_of(name: str) -> Sweeps:
    return Sweeps(problem_of(MAPS[name], "cpu"))


class Sweeps:
    """The sweeps of two tiles of the last start node whose rows are windows."""

    def __init__(self, problem: Problem) -> None:
        found = intermediate_bounds(problem, by_rows=True)
        self.problem, self.errors = problem, found.errors
        self.draw: FixedLines = problem.fixed_lines(found.bounds)
        for self.start in reversed(problem.program.starts):
            index = torch.arange(problem.program.graph[self.start].size)
            tiles = problem.tiles(self.start, both_sides(index, torch.float32))
            self.tiles = [tile for tile in tiles if tile.rows.count == tiles[0].rows.count][:2]
            if len(self.tiles) == 2 and self.tiles[0].windowed:
                return
        raise AssertionError("no start node has two tiles of windows")

    def state(self, tile: Tile, passed: int) -> WholeRows:
        """Return the state of a tile after the first nodes of its way."""
        task = self.problem
        state = task.layout.sweep_state(task.program, task.region, [tile], self.errors)
        assert isinstance(state, WholeRows)
        order = task.program.order(self.start)
        for weights in task.layout.stream(visits(order[:passed])):
            state.pass_node(weights, self.draw)
        return state

    def finish(self, state: WholeRows, passed: int) -> Tensor:
        order = self.problem.program.order(self.start)
        for weights in self.problem.layout.stream(visits(order[passed:])):
            state.pass_node(weights, self.draw)
        (lowest,) = state.lowest()
        return lowest


@pytest.mark.parametrize(("name", "passed"), [(name, n) for name in MAPS for n in (0, 1, 3)])
def test_the_tensors_of_a_state_are_all_that_the_rest_of_its_sweep_reads(
    name: str, passed: int
) -> None:
    sweeps = sweeps_of(name)
    one, two = (sweeps.state(tile, passed) for tile in sweeps.tiles)
    other = one.mapped(torch.clone)
    for mine, given in zip(tensors_of(other), tensors_of(two), strict=True):
        mine.copy_(given)
    expected = [sweeps.finish(state, passed) for state in (one, two)]
    assert not torch.equal(*expected)
    assert torch.equal(sweeps.finish(other, passed), expected[1])


@pytest.mark.parametrize("name", MAPS)
def test_a_sweep_in_windows_never_waits_for_a_value_once_its_lines_are_known(name: str) -> None:
    sweeps = sweeps_of(name)
    sweeps.finish(sweeps.state(sweeps.tiles[0], 0), 0)
    with never_waits():
        sweeps.finish(sweeps.state(sweeps.tiles[1], 0), 0)


@needs_gpu
@pytest.mark.parametrize("name", MAPS)
def test_crown_recorded_is_crown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of(MAPS[name], "cuda:0", 2**10)
    wider = replace(problem, tile_elements=2**14)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = [crown(each, outputs(each)) for each in (problem, wider)]
    monkeypatch.setattr(method, "repeats_of", lambda *given: {})
    expected = [crown(each, outputs(each)) for each in (problem, wider)]
    for (lowest, bounds), (other, others) in zip(found, expected, strict=True):
        assert torch.equal(lowest, other)
        for start, box in bounds.items():
            assert torch.equal(box.lower, others[start].lower)
            assert torch.equal(box.upper, others[start].upper)


@needs_gpu
@pytest.mark.parametrize("name", MAPS)
def test_crown_recorded_ahead_is_crown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "busy", lambda device: True)
    made = list[Ahead]()

    def noted(*given: Any) -> Ahead:
        made.append(ahead.recorded_ahead(*given))
        return made[-1]

    monkeypatch.setattr(method, "recorded_ahead", noted)
    problem = problem_of(MAPS[name], "cuda:0", 2**9)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        lowest, bounds = crown(problem, outputs(problem))
    assert any(each.repeats for each in made)
    monkeypatch.setattr(method, "recorded_ahead", lambda *given: NOTHING)
    monkeypatch.setattr(method, "repeats_of", lambda *given: {})
    other, others = crown(problem, outputs(problem))
    assert torch.equal(lowest, other)
    for start, box in bounds.items():
        assert torch.equal(box.lower, others[start].lower)
        assert torch.equal(box.upper, others[start].upper)


def test_recordings_made_ahead_are_used_only_for_tiles_with_parts_of_their_heights() -> None:
    rows = both_sides(torch.arange(8), torch.float32)
    tile = Tile("y", slice(0, 16), rows, {"a": Division(2, 8), "b": Division(4, 2)})
    cpu = torch.device("cpu")
    early, other = (Repeat(Stretch(name, True, 8, 0), cpu) for name in ("a", "y"))
    made, others = Ahead({"a": 8, "b": 2}, {"a": early}), {"y": other}
    assert made.instead_of(others, tile) == {"a": early}
    narrow = replace(tile, divisions={"a": Division(2, 8), "b": Division(8, 1)})
    assert made.instead_of(others, narrow) == others
    assert NOTHING.instead_of(others, replace(tile, divisions={})) == others


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("tile_elements", [2**7, 2**10])
def test_rows_that_fill_parts_of_the_fixed_heights_are_cut_into_these(
    name: str, tile_elements: int
) -> None:
    program = Program(MAPS[name], MAPS[name].output)
    for start in program.starts:
        fixed = fixed_tiling(program, start, 1, tile_elements)
        if fixed is None:
            continue
        heights = [part.height for part in fixed.divisions.values()]
        for parts in range(4, fixed.height // heights[0] + 1, 4):
            rows = parts * heights[0]
            found = tiling(program, start, 1, rows, tile_elements, windows=True)
            if found.divisions:
                assert [part.height for part in found.divisions.values()] == heights
                assert found.height <= fixed.height
        for rows in range(2, 2 * program.graph[start].size, 14):
            found = tiling(program, start, 1, rows, tile_elements, windows=True)
            assert found.height * -(-rows // found.height) >= rows


def test_parts_are_recorded_only_on_a_gpu_and_only_where_there_are_many_tiles_of_windows() -> None:
    sweeps = sweeps_of("2d")
    order = sweeps.problem.program.order(sweeps.start)
    tiles, gpu = [replace(each, divisions={}) for each in sweeps.tiles], torch.device("cuda", 0)
    assert not repeats_of(order, tiles * 2, torch.device("cpu"))
    assert not repeats_of(order, tiles[:1], gpu)
    (repeat,) = repeats_of(order, tiles * 2, gpu).values()
    assert repeat.stretch == Stretch(order[0].name, True, tiles[0].rows.count, len(order))


def test_only_nodes_up_to_the_last_that_no_sweep_has_passed_are_rehearsed() -> None:
    sweeps, gpu = sweeps_of("2d"), torch.device("cuda", 0)
    order = sweeps.problem.program.order(sweeps.start)
    tiles = [replace(each, divisions={}) for each in sweeps.tiles] * 2
    for known, fresh in ((order, 0), (order[2:], 2), (order[:2], len(order))):
        (repeat,) = repeats_of(order, tiles, gpu, known={node.name for node in known}).values()
        assert repeat.stretch.fresh == fresh


def test_a_stretch_rehearses_only_its_own_fresh_nodes() -> None:
    order = [replace(MAPS["2d"][MAPS["2d"].output], name=f"{at}") for at in range(40)]
    divided = {"3": Division(20, 50), "6": Division(20, 10)}
    found = stretches(order, divided, 1000, 4, known={each.name for each in order[5:]})
    assert found == [
        Stretch("0", False, 1000, 3),
        Stretch("3", False, 50, 2),
        Stretch("6", True, 10, 0),
    ]


def test_what_later_work_shares_is_never_computed_in_a_recording() -> None:
    sweeps = Sweeps(problem_of(MAPS["2d"], "cpu"))
    with during_recording(), pytest.raises(RuntimeError, match="before a recording"):
        sweeps.finish(sweeps.state(sweeps.tiles[0], 0), 0)
    sweeps.finish(sweeps.state(sweeps.tiles[0], 0), 0)
    with during_recording():
        sweeps.finish(sweeps.state(sweeps.tiles[1], 0), 0)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("machine", [HOPPER, OTHER_GPU], ids=lambda machine: machine.name)
def test_nothing_that_later_work_shares_is_left_to_compute_when_a_gpu_records(
    name: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, recordings = Meter.beside, []

    @contextmanager
    def strict(meter: Meter) -> Iterator[None]:
        recordings.append(meter.stage)
        with beside(meter), during_recording():
            yield

    monkeypatch.setattr(Meter, "beside", strict)
    graph = MAPS[name]
    # Larger tiles have fewer parts to pass; those of the pools would not be recorded.
    bounding = Bounding(graph, "crown", 2, tile_elements=2**10 if name == "pools" else 2**12)
    # If few maxima are open, rows in large windows pass the decided ones by slopes of their own.
    unstable = Unstable(0.05 if name == "pools" else 0.5)
    rehearse(bounding, unstable, machine, lambda device, _: OneDevice(graph, device))
    assert recordings


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("tile_elements", [2**7, 2**10, 2**13])
@pytest.mark.parametrize("tiles", [1, 4, 40])
def test_recordings_never_make_the_host_start_more_nodes(
    name: str, tile_elements: int, tiles: int
) -> None:
    program = Program(MAPS[name], MAPS[name].output)
    for start in program.starts:
        order = program.order(start)
        divided = divisions(program, start, 1, 64, tile_elements)
        recorded = cheapest(order, divided, tiles)
        if recorded:
            assert started(order, divided, tiles, recorded) < started(order, divided, tiles)


def started(
    order: Sequence[Node],
    divided: Mapping[str, Division],
    times: int,
    recorded: Mapping[int, bool] | None = None,
) -> int:
    """Count the nodes that the host passes for `times` tiles that are divided on their way.

    A part that is recorded at a place passes its nodes once, and all others of its size are copies.
    """
    count, begin = 0, 0
    while begin < len(order):
        ends = [at for at in range(begin + 1, len(order)) if order[at].name in divided]
        end, last = [*ends, len(order)][0], (recorded or {}).get(begin)
        if last:
            return count + passes_from(order, divided, begin)
        count += (1 if last is False else times) * (end - begin)
        times *= divided[order[end].name].parts if ends else 1
        begin = end
    return count


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
@pytest.mark.parametrize("tile_elements", [2**7, 2**10, 2**13])
def test_tiles_and_their_parts_have_equally_many_rows(count: int, tile_elements: int) -> None:
    program = Program(MAPS["2d"], MAPS["2d"].output)
    for start in program.starts:
        divided = divisions(program, start, 1, 64, tile_elements)
        height = evened(64, divided)
        rows = both_sides(torch.arange(count), torch.float32)
        tiles = into_tiles(start, rows, height, divided, equal=True)
        assert {tile.rows.count for tile in tiles} == {min(2 * count, height)}
        for each in divided.values():
            assert height == each.parts * each.height
            height = each.height
        numbers = torch.arange(2 * count).unsqueeze(0)
        spans = [tile.span for tile in tiles]
        joined = side_by_side([numbers[:, span] for span in spans], spans)
        assert torch.equal(joined, numbers)


def test_a_table_is_computed_once_for_a_weight_and_never_kept_from_a_recording() -> None:
    weight, computed = torch.ones(2), list[Tensor]()

    def double(each: Tensor) -> Tensor:
        computed.append(each)
        return 2 * each

    tables: Tables = {}
    with keeping(tables):
        with during_recording():
            assert torch.equal(stored_table(weight, double), 2 * weight)
        assert not tables
        assert stored_table(weight, double) is stored_table(weight, double)
    stored_table(weight, double)
    assert len(computed) == 3
