"""Differences of twin networks: what is bounded jointly holds, is narrower, and never looser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from boundmesh.api import bounds, verify
from boundmesh.graph.build import Builder
from boundmesh.graph.check import check
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph, Subnetwork
from boundmesh.property import Atom, Box, Case, Clause, Property
from boundmesh.read.joined import joined
from boundmesh.read.twins import with_sums, with_twins
from boundmesh.verdict import Falsified, Verified
from tests.attack.networks import affine
from tests.networks import conv_net, finished, maps, mlp, resnet

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def perturbed(size: float) -> Change:
    return lambda array, rng: array + size * rng.normal(size=array.shape)


def quantised(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.round(array * 64) / 64


def pruned(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(np.abs(array) < 0.02, 0, array)


def same(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return array


def twin(graph: Graph, change: Change, seed: int = 1) -> Graph:
    """Return a network of the same structure with changed weights, in the weights' own types."""
    rng = np.random.default_rng(seed)
    weights = {
        name: change(array.astype(np.float64), rng).astype(array.dtype)
        for name, array in graph.weights.items()
    }
    return replace(graph, weights=weights)


def together(*graphs: Graph, sums: bool = True) -> Graph:
    """Return networks on one input, extended by `y'ⱼ − yⱼ` of the last and the first network."""
    size = graphs[0][graphs[0].input].size
    parts = [Subnetwork(graph, tuple(range(size))) for graph in graphs]
    names = [f"f{number}" for number in range(len(graphs))]
    whole = joined(parts, names, graphs[0].inputs)
    return with_sums(whole, differences(graphs)) if sums else whole


def differences(graphs: Sequence[Graph]) -> list[tuple[tuple[int, Fraction], ...]]:
    outputs = sum(port.size for port in graphs[0].outputs)
    last = outputs * (len(graphs) - 1)
    return [((j, Fraction(-1)), (last + j, Fraction(1))) for j in range(outputs)]


def around(graph: Graph, radius: float, seed: int = 0) -> Box:
    center = np.random.default_rng(seed).uniform(-1, 1, size=graph[graph.input].size)
    return Box(center - radius, center + radius)


def rows_of(graph: Graph, sums: Sequence[tuple[tuple[int, Fraction], ...]]) -> np.ndarray:
    """Return sums of outputs as rows of the graph that is bounded."""
    places = {} if graph.extended is None else graph.extended.places
    rows = np.zeros((len(sums), graph.bounded[graph.bounded.output].size))
    for number, terms in enumerate(sums):
        for place, factor in [(places[terms], 1)] if terms in places else terms:
            rows[number, place] = float(factor)
    return rows


def lower(graph: Graph, box: Box, sums: Sequence[tuple[tuple[int, Fraction], ...]],
          **options: object) -> Tensor:  # fmt: skip
    chosen: dict[str, object] = {"device": "cpu", "dtype": "float64", "method": "crown"}
    found = bounds(graph.bounded, box, rows=rows_of(graph, sums), **(chosen | options))
    return torch.as_tensor(np.asarray(found.lower)).double().flatten()


def both_ways(graphs: Sequence[Graph]) -> list[tuple[tuple[int, Fraction], ...]]:
    up = differences(graphs)
    return [*up, *(tuple((place, -factor) for place, factor in terms) for terms in up)]


def extended(graphs: Sequence[Graph]) -> Graph:
    return with_sums(together(*graphs, sums=False), both_ways(graphs))


def samples(graphs: Sequence[Graph], box: Box, count: int = 400) -> Tensor:
    """Return `y' − y` of the last and first networks at points of the box, `[count, outputs]`."""
    share = torch.rand(count, box.size, generator=torch.Generator().manual_seed(5)).double()
    share[::2] = share[::2].round()
    x = torch.as_tensor(box.lower) + share * torch.as_tensor(box.upper - box.lower)
    first, *_, last = (forward(each, tensors(each, torch.float64), x).flatten(1) for each in graphs)
    return last - first


NETWORKS: dict[str, Callable[[], Graph]] = {
    "relu": lambda: mlp(3, 9, 9, 2),
    "leaky": lambda: smooth("leaky_relu", slope=0.1),
    "conv": conv_net,
    "resnet": resnet,
    "maps": lambda: maps(0, axes=1),
    **{
        op: partial(mlp, 3, 9, 9, 2, activation=op)
        for op in ("tanh", "sigmoid", "softplus", "gelu", "abs", "sin", "hard_swish")
    },
}


def smooth(op: str, **attributes: float) -> Graph:
    build, rng = Builder(), np.random.default_rng(0)
    x = build.input((1, 3))
    for wide, out in ((3, 8), (8, 8)):
        x = build.add("linear", x, weights=(rng.normal(size=(out, wide)), rng.normal(size=out)))
        x = build.add("shift", build.add(op, x, **attributes), weights=(rng.normal(size=(1, 8)),))
        x = build.add("scale", x, weights=(rng.normal(size=(1, 8)),))
    return finished(build, x)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("change", [perturbed(1e-2), perturbed(0.5), quantised], ids="psq")
def test_joint_bounds_hold_and_are_no_looser_than_crowns_of_both_networks(
    name: str, change: Change
) -> None:
    first = NETWORKS[name]()
    graphs = (first, twin(first, change))
    graph, box = extended(graphs), around(first, 0.2)
    assert graph.extended is not None
    check(graph.bounded)
    found = lower(graph, box, both_ways(graphs))
    apart = lower(replace(graph, extended=None), box, both_ways(graphs))
    seen = samples(graphs, box)
    assert (found <= torch.cat((seen, -seen), 1).amin(0) + 1e-9).all()
    assert (found >= apart - 1e-6 * (1 + apart.abs())).all()


@pytest.mark.parametrize("method", ["ibp", "crown-ibp", "alpha-crown"])
@pytest.mark.parametrize("name", ["relu", "tanh", "conv"])
def test_joint_bounds_of_every_method_hold(name: str, method: str) -> None:
    first = NETWORKS[name]()
    graphs = (first, twin(first, perturbed(0.05)))
    graph, box = extended(graphs), around(first, 0.3)
    how: dict[str, object] = {"method": method, "iterations": 4}
    found = lower(graph, box, both_ways(graphs), **how)
    apart = lower(replace(graph, extended=None), box, both_ways(graphs), **how)
    seen = samples(graphs, box)
    assert (found <= torch.cat((seen, -seen), 1).amin(0) + 1e-9).all()
    assert found.sum() >= apart.sum() * (1 + 1e-6)


@pytest.mark.parametrize("name", ["relu", "tanh", "conv", "resnet"])
def test_a_small_change_of_weights_has_a_narrow_difference(name: str) -> None:
    first = NETWORKS[name]()
    graphs = (first, twin(first, perturbed(1e-3)))
    graph, box = extended(graphs), around(first, 0.5)
    found = lower(graph, box, both_ways(graphs)).mean()
    apart = lower(replace(graph, extended=None), box, both_ways(graphs)).mean()
    assert found > apart / 8


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_same_weights_differ_by_rounding_alone(name: str) -> None:
    first = NETWORKS[name]()
    graphs = (first, twin(first, same))
    graph, box = extended(graphs), around(first, 0.5)
    assert (lower(graph, box, both_ways(graphs)) > -1e-8).all()
    apart = lower(replace(graph, extended=None), box, both_ways(graphs))
    assert (lower(graph, box, both_ways(graphs), dtype="float32") > 1e-3 * apart - 1e-4).all()


def sourced(seed: int, change: Change, *sizes: int) -> tuple[Graph, Graph]:
    """Return twins of linear layers and ReLUs that have ONNX sources."""
    rng = np.random.default_rng(seed)
    layers = [
        (rng.normal(size=(out, wide)) / np.sqrt(wide), rng.normal(size=out))
        for wide, out in pairwise(sizes)
    ]
    changed = [tuple(change(each, rng) for each in layer) for layer in layers]
    return affine(*layers), affine(*changed)


def tiny(seed: int, change: Change) -> tuple[Graph, Graph]:
    return sourced(seed, change, 1, 6, 1)


def extremes(graphs: Sequence[Graph], box: Box) -> tuple[float, float]:
    """Return the exact range of `y' − y` of networks `1-n-1` of ReLUs: it bends where they do."""
    points = [box.lower.item(), box.upper.item()]
    for graph in graphs:
        layer = next(node for node in graph.nodes if node.weights)
        weight, bias = (graph.weights[name] for name in layer.weights)
        turning = weight[:, 0] != 0
        points += (-bias[turning] / weight[turning, 0]).tolist()
    inside = [x for x in points if points[0] <= x <= points[1]]
    x = torch.tensor(inside, dtype=torch.float64).unsqueeze(1)
    first, last = (forward(each, tensors(each, torch.float64), x).flatten() for each in graphs)
    return float((last - first).min()), float((last - first).max())


@pytest.mark.parametrize("seed", range(4))
def test_tiny_twins_are_decided_at_the_exact_ends_of_their_difference(seed: int) -> None:
    graphs = tiny(seed, quantised if seed % 2 else perturbed(0.1))
    box = Box(np.array([-1.0]), np.array([1.0]))
    low, high = extremes(graphs, box)
    slack = 1e-3 * (high - low)
    for bound, expected in ((high + slack, Verified), (high - slack, Falsified)):
        atom = Atom((), ((0, 1), (1, -1)), -bound)
        prop = Property((Case(box, (Clause((atom,)),)),), 1, 2)
        graph = with_twins(together(*graphs, sums=False), prop)
        assert graph.extended is not None
        assert isinstance(decided(graph, prop), expected)


def decided(graph: Graph, prop: Property, **options: object) -> object:
    chosen: dict[str, object] = {"device": "cpu", "timeout": 60}
    return verify(graph, prop, **(chosen | options)).verdict


def never_beyond(graphs: Sequence[Graph], bound: float, box: Box) -> tuple[Graph, Property]:
    """Return the claim that no output differs by more than `bound`, and the graph."""
    sums = both_ways(graphs)
    clauses = [Clause((Atom((), tuple((j, -c) for j, c in terms), -bound),)) for terms in sums]
    prop = Property((Case(box, clauses),), box.size, sum(p.size for g in graphs for p in g.outputs))
    return with_twins(together(*graphs, sums=False), prop), prop


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_quantised_network_is_proved_near_where_both_apart_leave_it_open(activation: str) -> None:
    first = mlp(6, 24, 24, 24, 3, activation=activation)
    graphs, box = (first, twin(first, quantised)), around(first, 0.1)
    bound = 5 * samples(graphs, box).abs().max().item()
    graph, prop = never_beyond(graphs, bound, box)
    chosen = {"method": "crown", "restarts": 0}
    assert isinstance(decided(graph, prop, **chosen), Verified)
    assert not isinstance(decided(replace(graph, extended=None), prop, **chosen), Verified)


def in_type(graph: Graph, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Run a network in a narrow type."""
    return forward(graph, tensors(graph, dtype), x.to(dtype)).flatten(1).double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["relu", "leaky", "conv", "resnet"])
@pytest.mark.parametrize("change", [same, perturbed(1e-3)], ids=["same", "small"])
def test_bounds_hold_for_networks_that_run_in_a_narrow_type(
    name: str, dtype: torch.dtype, change: Change
) -> None:
    first = NETWORKS[name]()
    graphs = (first, twin(first, change))
    graph, box = extended(graphs), around(first, 0.1)
    rounding = str(dtype).removeprefix("torch.")
    found = lower(graph, box, both_ways(graphs), rounding=rounding)
    share = torch.rand(200, box.size, generator=torch.Generator().manual_seed(3)).double()
    x = torch.as_tensor(box.lower) + share * torch.as_tensor(box.upper - box.lower)
    seen = in_type(graphs[1], x, dtype) - in_type(first, x, dtype)
    assert (found <= torch.cat((seen, -seen), 1).amin(0)).all()
    real = lower(graph, box, both_ways(graphs))
    assert (found < real).all() and (dtype != torch.float32 or (found > real - 1e-2).all())


def test_only_conditions_that_mix_twins_extend_a_graph() -> None:
    first = mlp(3, 8, 2)
    graphs = (first, twin(first, quantised))
    one = Fraction(1)
    sums = [((0, one),), ((2, one), (3, -one)), ((0, -one), (3, one)), ((1, one), (2, one))]
    graph = with_sums(together(*graphs, sums=False), sums)
    assert graph.extended is not None and list(graph.extended.places) == sums[2:]
    assert with_sums(together(*graphs, sums=False), sums[:2]).extended is None


def test_networks_that_cannot_be_paired_stay_as_they_are() -> None:
    first = mlp(3, 8, 8, 2)
    for other in (mlp(3, 8, 8, 2, activation="tanh"), mlp(3, 7, 2), mlp(3, 8, 8, 3)):
        assert together(first, other).extended is None
    parts = [Subnetwork(first, (0, 1, 2)), Subnetwork(twin(first, quantised), (3, 4, 5))]
    apart = joined(parts, ["f", "g"], [replace(p, shape=(1, 6)) for p in first.inputs])
    assert with_sums(apart, differences((first, first))).extended is None


def test_what_follows_an_operator_without_a_rule_is_paired_again() -> None:
    graphs = (softened(0), softened(0, perturbed(0.01)))
    graph, box = extended(graphs), around(graphs[0], 0.2)
    assert graph.extended is not None
    found = lower(graph, box, both_ways(graphs))
    seen = samples(graphs, box)
    assert (found <= torch.cat((seen, -seen), 1).amin(0) + 1e-9).all()


def softened(seed: int, change: Change = same) -> Graph:
    """A network with a softmax between two layers of ReLUs."""
    rng, build = np.random.default_rng(seed), Builder()
    x = build.input((1, 3))
    for op, attributes in (("relu", {}), ("softmax", {"axis": 1}), ("relu", {})):
        weights = (rng.normal(size=(5, x.shape[1])), rng.normal(size=5))
        x = build.add(op, build.add("linear", x, weights=weights), **attributes)
    return twin(finished(build, x), change)


def test_pairs_among_three_networks_are_each_bounded_jointly() -> None:
    first = mlp(3, 9, 9, 2)
    graphs = (first, twin(first, perturbed(0.01), 2), twin(first, perturbed(0.01), 3))
    one = Fraction(1)
    sums = [((a, -one), (b, one)) for a, b in ((0, 2), (0, 4), (2, 4))]
    graph = with_sums(together(*graphs, sums=False), sums)
    box = around(first, 0.3)
    found = lower(graph, box, sums)
    apart = lower(replace(graph, extended=None), box, sums)
    assert (found > apart / 3).all()
    values = torch.as_tensor(box.lower), torch.as_tensor(box.upper)
    for x in values:
        y = [forward(g, tensors(g, torch.float64), x.unsqueeze(0)).flatten()[0] for g in graphs]
        seen = torch.stack((y[1] - y[0], y[2] - y[0], y[2] - y[1]))
        assert (found <= seen).all()


def test_terms_of_inputs_and_products_keep_their_places_beside_twins() -> None:
    graphs, box = tiny(0, quantised), Box(np.array([-1.0]), np.array([1.0]))
    _, high = extremes(graphs, box)
    for factor, expected in ((3.0, Verified), (0.0, Falsified)):
        atom = Atom(((0, -1),), ((0, 1), (1, -1)), -high - factor)
        prop = Property((Case(box, (Clause((atom,)),)),), 1, 2)
        graph = with_twins(together(*graphs, sums=False), prop)
        assert isinstance(decided(graph, prop), expected)


def test_a_search_over_splits_proves_what_bounds_of_the_whole_region_leave_open() -> None:
    graphs = sourced(0, quantised, 10, 12, 12, 1)
    box = around(graphs[0], 0.4)
    graph = extended(graphs)
    root = lower(graph, box, both_ways(graphs), method="alpha-crown").min().item()
    graph, prop = never_beyond(graphs, -0.8 * root, box)
    assert not isinstance(decided(graph, prop, method="alpha-crown", restarts=0), Verified)
    assert isinstance(decided(graph, prop, restarts=0, branching="babsr"), Verified)
