"""Networks that multiply related values: bounds hold, and far fewer boxes prove what is true."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.joint import forms_of, joint_lines, related
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.fixed_lines import FixedLines
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rows import DenseRows, Tile
from boundmesh.bounds.sweep.whole_rows import input_rows
from boundmesh.graph.build import Builder
from boundmesh.graph.forward import forward, tensors, values
from boundmesh.graph.graph import Graph
from boundmesh.operators.rounding import Rounding
from boundmesh.proof.margin_rows import margins_of
from boundmesh.property import Atom, Clause
from boundmesh.runtime.clock import Clock
from boundmesh.search.input_split import InputSplitting
from boundmesh.settings import BranchSettings
from tests.networks import both_ways, finished, region


def decrease(seed: int, free: bool = False) -> Graph:
    """The decrease of V(x) = xᵀPx in a step of a system with a small controller.

    It is −(x⁺ − x)ᵀP(x⁺ + x), with x⁺ = Mx + B·relu(Wx). The input has a place that nothing
    depends on, unless `free` is true.
    """
    rng, build, size = np.random.default_rng(seed), Builder(), 3
    x = build.input((1, size if free else size + 1))
    state = x if free else build.add("slice", x, ranges=((0, 1, 1), (0, size, 1)))
    hidden = build.add("relu", build.add(
        "linear", state, weights=(rng.normal(size=(4, size)), 0.1 * rng.normal(size=4))
    ))  # fmt: skip
    push = build.add("linear", hidden, weights=(0.05 * rng.normal(size=(size, 4)), np.zeros(size)))
    stays = build.add("linear", state, weights=(0.7 * np.eye(size), np.zeros(size)))
    after = build.add("add", stays, push)
    root = rng.normal(size=(size, size))
    matrix = root @ root.T + np.eye(size)
    change = build.add("subtract", after, state)
    both = build.add("add", after, state)
    turned = build.add("linear", both, weights=(-matrix, np.zeros(size)))
    product = build.add("multiply", change, turned)
    return finished(build, build.add("sum", product, axes=(1,)))


def problem_of(graph: Graph, box: BoxRegion, dtype: torch.dtype) -> Problem:
    layout = OneDevice(graph, "cpu", dtype)
    rounding = Rounding.of(dtype, "real", "float32")
    return Problem(Program(graph, graph.output), box, layout, rounding=rounding)


def boxes(graph: Graph, radius: float, dtype: torch.dtype) -> BoxRegion:
    box = region(graph, radius, domains=5)
    return BoxRegion(box.lower.to(dtype), box.upper.to(dtype))


def points_of(box: BoxRegion, count: int = 500) -> torch.Tensor:
    """Return points `[D, count, *shape]` of every box, half of them corners."""
    generator = torch.Generator().manual_seed(1)
    lower, upper = box.lower.double()[:, None], box.upper.double()[:, None]
    share = torch.rand(len(lower), count, *lower.shape[2:], generator=generator, dtype=upper.dtype)
    share[:, : count // 2] = share[:, : count // 2].round()
    return lower + share * (upper - lower)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("radius", [0.0, 1e-6, 0.1, 2.0, 100.0])
def test_bounds_of_products_of_related_values_hold_and_are_no_looser(
    radius: float, dtype: torch.dtype
) -> None:
    for seed in range(3):
        graph = decrease(seed)
        box = boxes(graph, radius, dtype)
        task = problem_of(graph, box, dtype)
        found = intermediate_bounds(task, by_rows=True, keep_best=True)
        rows = DenseRows(both_ways(graph).to(dtype))
        tile = Tile(graph.output, slice(0, rows.count), rows)
        bounds = [
            input_rows(task.layout, task.program, tile, draw, frozenset(), found.errors)
            .minimum(graph.input, box).double()
            for draw in (joint_lines(task, found, related(task)), FixedLines(found.sharpest))
        ]  # fmt: skip
        outputs = forward(graph, tensors(graph, torch.float64), points_of(box).flatten(0, 1))
        sampled = outputs.reshape(box.domains, -1)
        assert bool((bounds[0][:, 0] <= sampled.amin(1)).all())
        assert bool((bounds[0][:, 1] <= (-sampled).amin(1)).all())
        assert bool((bounds[0] >= bounds[1] - 1e-5 * bounds[1].abs()).all())
        if radius == 0.1:
            assert bool((bounds[0][:, 0] - bounds[1][:, 0] > 1e-3).any())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_of_a_network_lie_in_their_affine_forms(dtype: torch.dtype) -> None:
    graph = decrease(1)
    box = boxes(graph, 0.5, dtype)
    task = problem_of(graph, box, dtype)
    found = intermediate_bounds(task, by_rows=True, keep_best=True)
    x = points_of(box)
    every = values(graph, tensors(graph, torch.float64), x.flatten(0, 1))
    middle, radius = ((box.upper.double() + s * box.lower.double()) / 2 for s in (1, -1))
    t = ((x - middle[:, None]) / radius[:, None]).flatten(2)
    for name in related(task):
        form = forms_of(task, name, FixedLines(found.sharpest), found)
        affine = form.center[:, None] + torch.einsum("dni,dki->dkn", form.slopes, t)
        value = every[name].reshape(*x.shape[:2], -1)
        assert bool(((value - affine).abs() <= form.error[:, None] + 1e-12).all())


def test_inputs_that_do_not_vary_are_no_part_of_a_form() -> None:
    graph = decrease(0)
    box = boxes(graph, 0.5, torch.float64)
    box.upper[..., 3] = box.lower[..., 3]
    task = problem_of(graph, box, torch.float64)
    found = intermediate_bounds(task, by_rows=True, keep_best=True)
    (name, *_) = related(task)
    assert forms_of(task, name, FixedLines(found.sharpest), found).slopes.shape[2] == 3


def test_a_decrease_is_proved_by_a_fraction_of_the_boxes_that_products_alone_need() -> None:
    graph = decrease(0, free=True)
    box = BoxRegion(*(torch.full((1, 1, 3), end) for end in (0.2, 1.0)))
    visited = []
    for names in (None, frozenset[str]()):
        task = problem_of(graph, box, torch.float32)
        clause = Clause((Atom((), ((0, 1.0),), 1e-3),))
        margins = margins_of(graph, (clause,))
        offset = margins.bound + margins.slack(torch.ones(1), torch.float32)
        settings = BranchSettings(batch=64)
        search = InputSplitting(task, margins, offset, settings, Clock(60), lambda points: None)
        search.related = search.related if names is None else names
        found = search.run(box)
        assert not found.found and found.stuck == 0 and found.proved > 0
        visited.append(found.visited)
    assert 4 * visited[0] <= visited[1]
