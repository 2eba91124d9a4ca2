"""Every verdict of `certify` holds, and is that of `verify`."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import boundmesh
from boundmesh import Ball, Box, Certification, Property
from boundmesh.certify.inputs import Inputs
from tests.certify.networks import conv, graph_of, inputs, mlp, predictions, smooth

NORMS = pytest.mark.parametrize("norm", [1, 2, math.inf])
EPS = {1: 0.5, 2: 0.25, math.inf: 0.1}
GRAPH = graph_of(mlp(1))
WORDS = {"unsat": "certified", "sat": "falsified", "unknown": "unknown", "timed-out": "unknown"}


def changed(point: np.ndarray, eps: float, norm: float, count: int, seed: int) -> np.ndarray:
    """Random points within `eps` of a point, most of them at the edge."""
    random = np.random.default_rng(seed)
    if norm == math.inf:
        return point + eps * np.sign(random.standard_normal((count, point.size)))
    away = random.standard_normal((count, point.size)) * random.integers(0, 2, (count, point.size))
    length = np.linalg.norm(away, ord=norm, axis=1, keepdims=True)
    return point + eps * away / np.where(length == 0, 1, length)


def worst_of(module: nn.Module, point: np.ndarray, eps: float, label: int) -> np.ndarray:
    """Points of the ∞-ball from gradient steps against the label, by PyTorch alone."""
    x = torch.from_numpy(point).double().repeat(20, 1)
    low, high = x - eps, x + eps
    x = low + (high - low) * torch.rand(x.shape, dtype=torch.float64)
    for _ in range(30):
        x = x.requires_grad_(True)
        scores: Tensor = module.double()(x)
        others = scores.clone()
        others[:, label] = -math.inf
        (slope,) = torch.autograd.grad((others.amax(1) - scores[:, label]).sum(), x)
        x = torch.minimum(torch.maximum(x.detach() + eps / 8 * slope.sign(), low), high)
    module.float()
    found: np.ndarray = x.numpy()
    return found


@cache
def all_methods() -> Certification:
    """The verdicts of ten inputs by all methods."""
    return boundmesh.certify(GRAPH, inputs(10, seed=2), eps=0.1, timeout_per_input=30)


@NORMS
@pytest.mark.parametrize("make", [mlp, smooth])
def test_certified_inputs_keep_their_class_wherever_they_are_changed(norm, make) -> None:
    module, points = make(), inputs(12)
    found = boundmesh.certify(graph_of(module), points, eps=EPS[norm], norm=norm)
    assert found.count("certified") > 0
    for each in found:
        if each.proved:
            point = points[each.index].astype(np.float64)
            tried = changed(point, EPS[norm], norm, 500, each.index)
            assert (predictions(module, tried) == each.label).all()
            if norm == math.inf:
                tried = worst_of(module, point, EPS[norm], each.label)
                assert (predictions(module, tried) == each.label).all()


@NORMS
def test_margins_lie_below_the_differences_of_scores(norm) -> None:
    module, points = mlp(3), inputs(8)
    found = boundmesh.certify(graph_of(module), points, eps=EPS[norm] / 2, norm=norm)
    for each in found:
        point = points[each.index].astype(np.float64)
        tried = changed(point, EPS[norm] / 2, norm, 200, each.index)
        with torch.no_grad():
            scores = module.double()(torch.from_numpy(tried)).numpy()
        module.float()
        others = [j for j in range(3) if j != each.label]
        differences = scores[:, [each.label]] - scores[:, others]
        assert (differences >= each.margins[others] - 1e-12).all()
        assert each.margins[each.label] == math.inf


@NORMS
def test_verdicts_are_those_of_verify(norm) -> None:
    points, graph, eps = inputs(5, seed=2), GRAPH, EPS[norm]
    found = boundmesh.certify(graph, points, eps=eps, norm=norm, timeout_per_input=30)
    met = Counter(found.verdicts)
    assert met["certified"] and sum(met.values()) == 5
    for each in found:
        point = points[each.index]
        region = Box.around(point, eps) if norm == math.inf else Ball(point, eps, norm)
        prop = Property.largest(region, each.label, 3)
        alone = boundmesh.verify(graph, prop, timeout=30)
        assert each.verdict == WORDS[alone.verdict.word]


@NORMS
def test_counterexamples_lie_inside_and_have_another_class(norm) -> None:
    module, points = conv(), inputs(6, 2, 4, 4)
    eps, graph = 4 * EPS[norm], graph_of(conv(), 2, 4, 4)
    found = boundmesh.certify(graph, points, eps=eps, norm=norm)
    assert found.counterexamples
    kept = Inputs(points.reshape(6, -1).astype(np.float64), (2, 4, 4), norm, None)
    for place, point in found.counterexamples.items():
        assert point.shape == (2, 4, 4)
        assert kept.region(place, eps).contains(point.reshape(-1))
        assert kept.region(place, found[place].falsified_eps).contains(point.reshape(-1))
        with torch.no_grad():
            scores = module(torch.from_numpy(point[None]).float()).numpy()[0]
        label = found[place].label
        np.testing.assert_allclose(found[place].output, scores, atol=1e-4)
        assert np.delete(scores, label).max() >= scores[label] - 1e-4


def test_inputs_of_another_class_are_misclassified_and_count_as_no_success() -> None:
    module, points = mlp(), inputs(6)
    labels = predictions(module, points)
    labels[2] = (labels[2] + 1) % 3
    found = boundmesh.certify(graph_of(module), points, labels, eps=1e-3)
    assert found[2].verdict == "misclassified" and not found[2].proved
    counterexample = found[2].counterexample
    assert counterexample is not None and (counterexample == points[2]).all()
    assert found.clean_accuracy == 5 / 6
    assert found.certified_accuracy == found.count("certified") / 6 <= 5 / 6
    assert found[2].falsified_eps == 0 and found[2].predicted != found[2].label


def test_a_prediction_that_is_a_tie_is_falsified_by_the_input_itself() -> None:
    module = nn.Linear(2, 2)
    nn.init.ones_(module.weight)
    nn.init.zeros_(module.bias)
    found = boundmesh.certify(graph_of(module, 2), [[0.25, 0.5]], eps=0)
    assert found[0].verdict == "falsified" and found[0].falsified_eps == 0


def test_a_normalisation_in_front_is_part_of_the_network() -> None:
    module, points = conv(2), inputs(8, 2, 4, 4)
    mean, std = [0.4, 0.5], [0.25, 0.2]
    normalised = nn.Sequential(Normalise(mean, std), module).eval()
    for norm in (math.inf, 2):
        one = boundmesh.certify(
            graph_of(module, 2, 4, 4), points, eps=0.05, norm=norm, mean=mean, std=std
        )
        other = boundmesh.certify(graph_of(normalised, 2, 4, 4), points, eps=0.05, norm=norm)
        assert (one.verdicts == other.verdicts).all() and (one.labels == other.labels).all()
        sure = one.verdicts == "certified"
        np.testing.assert_allclose(one.margins[sure], other.margins[sure], rtol=1e-2, atol=1e-2)


class Normalise(nn.Module):
    """`(x − mean) / std` for each channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def test_changes_are_cut_to_the_clip() -> None:
    module, points = mlp(), np.zeros((1, 10), dtype=np.float32)
    graph = graph_of(module)
    wide = boundmesh.certify(graph, points, eps=1.0, clip=(0, 0.01))
    narrow = boundmesh.certify(graph, points + 0.005, eps=0.005)
    assert wide.verdicts.tolist() == narrow.verdicts.tolist()
    found = boundmesh.certify(graph, points, eps=5.0, clip=(0, 5)).counterexamples
    assert found and all(((x >= 0) & (x <= 5)).all() for x in found.values())


@pytest.mark.parametrize("norm", [1, 2])
def test_what_a_clip_certifies_holds_and_is_more_than_without_it(norm) -> None:
    """The points lie at ends of the clip, where it halves the room of every number."""
    module, points, eps = mlp(1), inputs(8, seed=3).round(), 2.5 * EPS[norm]
    asked = partial(boundmesh.certify, GRAPH, points, eps=eps, norm=norm, timeout_per_input=30)
    whole, cut = asked(), asked(clip=(0, 1))
    assert cut.count("certified") > whole.count("certified")
    for each in cut:
        ball = Ball(points[each.index], eps, norm, (0, 1))
        alone = boundmesh.verify(GRAPH, Property.largest(ball, each.label, 3), timeout=30)
        assert each.verdict == WORDS[alone.verdict.word]
        for point in (each.counterexample, alone.counterexample):
            assert point is None or ball.contains(point.reshape(-1))
        point = points[each.index].astype(np.float64)
        tried = changed(point, eps, norm, 500, each.index).clip(0, 1)
        with torch.no_grad():
            scores = module.double()(torch.from_numpy(tried)).numpy()
        module.float()
        others = [j for j in range(3) if j != each.label]
        assert (scores[:, [each.label]] - scores[:, others] >= each.margins[others]).all()


@pytest.mark.parametrize("norm", [1, 2])
def test_counterexamples_of_largest_radii_lie_in_the_clip(norm) -> None:
    points = inputs(2, seed=3).round()
    asked = {"eps": 4, "norm": norm, "clip": (0, 1), "largest": True, "tolerance": 0.1}
    for each in boundmesh.certify(GRAPH, points, **asked):
        ball = Ball(points[each.index], each.falsified_eps, norm, (0, 1))
        assert 0 < each.certified_eps < each.falsified_eps
        assert each.counterexample is not None
        assert ball.contains(each.counterexample.reshape(-1))


@pytest.mark.parametrize("eps", ["8/255", Fraction(8, 255)])
def test_a_radius_is_read_exactly(eps) -> None:
    found = boundmesh.certify(graph_of(mlp()), inputs(2), eps=eps)
    assert found.eps == Fraction(8, 255)
    sure = [each.certified_eps for each in found if each.proved]
    assert sure and all(Fraction(radius) <= Fraction(8, 255) for radius in sure)


@pytest.mark.parametrize("rounding", ["real", "float32", "trust"])
def test_every_arithmetic_that_verify_offers_is_offered(rounding) -> None:
    module, points = mlp(), inputs(6)
    found = boundmesh.certify(graph_of(module), points, eps=0.02, rounding=rounding)
    assert found.count("certified") > 0


@pytest.mark.parametrize("method", ["ibp", "crown-ibp", "crown", "alpha-crown"])
def test_a_single_method_never_certifies_more_than_all_of_them(method) -> None:
    points = inputs(10, seed=2)
    every = all_methods()
    one = boundmesh.certify(GRAPH, points, eps=0.1, method=method)
    assert (~one.proved | every.proved).all()
    assert all(each.reason for each in one if each.verdict == "unknown")


def test_without_attacks_a_falsified_input_is_found_by_the_search_or_unknown() -> None:
    found = boundmesh.certify(GRAPH, inputs(3, seed=2), eps=0.3, restarts=0)
    assert not {each.stage for each in found} & {"attack"}


def test_seconds_of_inputs_and_stages_add_up() -> None:
    found = all_methods()
    assert sum(each.seconds for each in found) <= found.total_seconds
    assert sum(found.seconds.values()) <= found.total_seconds
    assert all(each.stage in {*found.seconds, "clean"} for each in found if each.stage)


def test_an_empty_time_leaves_all_inputs_unknown_export_included() -> None:
    found = boundmesh.certify(mlp(), inputs(4), eps=0.3, timeout=1e-6)
    assert found.interrupted == "timeout" and found.count("unknown") == 4
    assert all("out of time" in each.reason for each in found)


class Stopping:
    """A progress that presses Ctrl-C in the first update of a stage."""

    def __init__(self, at: str) -> None:
        self.at, self.now = at, ""

    def stage(self, name: str, detail: str = "") -> None:
        self.now = name

    def update(self, **facts: object) -> None:
        if self.now == self.at:
            raise KeyboardInterrupt

    def warn(self, text: str) -> None:
        raise AssertionError(text)


def test_an_interrupted_run_keeps_what_is_decided() -> None:
    found = boundmesh.certify(GRAPH, inputs(10, seed=2), eps=0.1, progress=Stopping("crown-ibp"))
    whole = all_methods()
    assert found.interrupted == "interrupted" and 0 < found.count("unknown") < 10
    known = found.verdicts != "unknown"
    assert (found.verdicts[known] == whole.verdicts[known]).all()
    assert repr(found).endswith("ended early: interrupted)")


def test_batches_do_not_change_what_is_proved() -> None:
    graph, points = GRAPH, inputs(5, seed=2)
    together = boundmesh.certify(graph, points, eps=0.05)
    apart = [boundmesh.certify(graph, points[i : i + 1], eps=0.05)[0] for i in range(5)]
    assert together.verdicts.tolist() == [each.verdict for each in apart]


def test_several_processes_find_the_same_verdicts() -> None:
    points = inputs(8, seed=2)
    one, two = (
        boundmesh.certify(GRAPH, points, eps=0.2, iterations=0, jobs=jobs, timeout_per_input=60)
        for jobs in (1, 2)
    )
    assert one.verdicts.tolist() == two.verdicts.tolist()
    assert sum(each.stage == "search" for each in one) >= 4
