"""The attack finds what is there, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx.parser import parse_model

import boundmesh
from boundmesh.attack.objective import Objective
from boundmesh.attack.pgd import Attack
from boundmesh.attack.replay import Replay
from boundmesh.attack.search import ELEMENTS, PER_INPUT, Descent
from boundmesh.attack.space import space_of
from boundmesh.graph.forward import tensors
from boundmesh.graph.graph import Graph
from boundmesh.property import Atom, Ball, Box, Case, Choice, Clause, Property
from boundmesh.read import onnx, vnnlib
from boundmesh.runtime.clock import Clock, OutOfTime
from boundmesh.settings import AttackSettings
from boundmesh.verdict import Counterexample, Falsified
from tests.attack.networks import affine, identity, random_mlp

DATA = Path(__file__).parents[3] / "shared" / "data" / "vnncomp"


def search(graph: Graph, property: Property, seed: int = 0, left=None):
    found = Attack(graph, tensors(graph), property, AttackSettings(), Clock(), seed, left).finish()
    assert found is None or is_one(graph, property, found)
    return found


def is_one(graph: Graph, property: Property, found: Counterexample) -> bool:
    """Whether a second, separate replay agrees."""
    case = property.cases[found.case]
    again = Replay(graph)(property, found.case, found.input)
    return (
        case.region.contains(found.point)
        and case.clauses[found.clause].holds(found.point, found.output)
        and again is not None
        and np.array_equal(again.output, found.output)
    )


def unit_box(size: int) -> Box:
    return Box(np.zeros(size), np.ones(size))


def outputs(terms: dict[int, float], bound: float, strict: bool = False) -> Atom:
    return Atom((), tuple(sorted(terms.items())), bound, strict)


@pytest.mark.parametrize("seed", range(5))
def test_a_conjunction_planted_at_a_point_is_found(seed):
    graph = random_mlp(6, 24, 24, 4, seed=seed)
    x = np.random.default_rng(seed).uniform(0.2, 0.8, 6).astype(np.float32)
    planted = Replay(graph)(Property((Case(unit_box(6), (Clause(()),)),), 6, 4), 0, x)
    near = [outputs({j: sign}, sign * value + 0.05) for j, value in enumerate(planted.output)
            for sign in (1.0, -1.0)]  # fmt: skip
    found = search(
        graph, Property((Case(unit_box(6), (Clause(tuple(near)),)),), 6, 4), left={0: [0]}
    )
    assert found is not None


def test_one_reachable_clause_among_hundreds_is_found():
    graph = random_mlp(5, 16, 3, seed=1)
    centre = Replay(graph)(Property((Case(unit_box(5), (Clause(()),)),), 5, 3), 0, np.full(5, 0.5))
    far = [Clause((outputs({0: 1.0}, -1e4 - k),)) for k in range(400)]
    near = Clause((outputs({1: 1.0}, centre.output[1] - 0.01),))
    clauses = (*far[:333], near, *far[333:])
    found = search(graph, Property((Case(unit_box(5), clauses),), 5, 3))
    assert found is not None and found.clause == 333


def test_only_what_bounds_left_undecided_is_searched():
    clauses = tuple(Clause((outputs({0: -1.0}, -bound),)) for bound in (0.25, 0.5, 2.0))
    property = Property((Case(unit_box(1), clauses[2:]), Case(unit_box(1), clauses)), 1, 1)
    assert search(identity(1), property, left={0: [0], 1: [2]}) is None
    found = search(identity(1), property, left={1: [1, 2]})
    assert found is not None and found.case == 1


def test_the_case_that_has_a_counterexample_is_found_among_many():
    cases = [Case(Box(np.array([k]), np.array([k + 0.5])), (Clause((outputs({0: -1.0}, -40.25),)),))
             for k in range(60)]  # fmt: skip
    found = search(identity(1), Property(tuple(cases), 1, 1))
    assert found is not None and found.case >= 40


def test_a_case_that_no_sample_holds_is_searched_once_bounds_leave_it_open() -> None:
    graph = affine(([[1.0]], [0.0]), ([[1.0]], [0.0]))
    cases = [
        Case(Box(np.array([low]), np.array([low + 0.5])), (Clause((outputs({0: -1.0}, -58.25),)),))
        for low in range(59)
    ]
    assert search(graph, Property(cases, 1, 1)) is None
    verdict = boundmesh.verify(graph, Property(cases, 1, 1)).verdict
    assert isinstance(verdict, Falsified) and verdict.counterexample.case == 58


def test_atoms_over_inputs_are_descended_too():
    atom = Atom(((0, 1.0), (1, 1.0)), ((2, -1.0),), -0.4)
    strict = Atom(((0, -1.0),), (), -0.3, strict=True)
    property = Property((Case(unit_box(3), (Clause((atom, strict)),)),), 3, 3)
    found = search(identity(3), property)
    assert found is not None and found.input[0] > 0.3


@pytest.mark.parametrize("p", [1, 2])
def test_the_edge_of_a_ball_is_reached_and_not_left(p):
    ball = Ball(np.full(8, 0.5), 1.0, p)
    along = Atom((), tuple((j, -1.0) for j in range(8)), 0)
    reach = 4 + (1.0 if p == 1 else np.sqrt(8))
    property = lambda bound: Property(  # noqa: E731
        (Case(ball, (Clause((Atom((), along.outputs, -bound),)),)),), 8, 8
    )
    assert search(identity(8), property(reach - 0.01)) is not None
    assert search(identity(8), property(reach + 0.001)) is None


def test_fixed_inputs_stay_exactly_where_they_are():
    lower, upper = np.array([0.1, 0.0]), np.array([0.1, 1.0])
    clause = Clause((outputs({1: -1.0}, -0.75), outputs({0: 1.0}, 0.11)))
    found = search(identity(2), Property((Case(Box(lower, upper), (clause,)),), 2, 2))
    assert found is not None and found.input[0] == 0.1


def test_a_clause_without_atoms_is_satisfied_by_any_point():
    assert search(identity(2), Property((Case(unit_box(2), (Clause(()),)),), 2, 2)) is not None


def test_a_case_without_clauses_has_no_counterexample():
    assert search(identity(2), Property((Case(unit_box(2), ()),), 2, 2)) is None
    assert search(identity(2), Property((), 2, 2)) is None


def test_equal_outputs_do_not_satisfy_a_strict_comparison():
    graph = affine(([[1.0], [1.0]], [1.0, 1.0]))
    strict = Clause((outputs({0: 1.0, 1: -1.0}, 0.0, strict=True),))
    assert search(graph, Property((Case(unit_box(1), (strict,)),), 1, 2), left={0: [0]}) is None


def test_the_same_seed_finds_the_same_counterexample():
    graph = random_mlp(6, 32, 3, seed=3)
    clause = Clause((outputs({0: 1.0, 1: -1.0}, 0.0),))
    property = Property((Case(unit_box(6), (clause,)),), 6, 3)
    first, second = search(graph, property, 7), search(graph, property, 7)
    assert first is not None and second is not None
    assert np.array_equal(first.input, second.input)


def test_time_that_is_up_ends_the_attack():
    graph = identity(1)
    property = Property((Case(unit_box(1), (Clause((outputs({0: -1.0}, -2),)),)),), 1, 1)
    with pytest.raises(OutOfTime):
        Attack(graph, tensors(graph), property, AttackSettings(), Clock(timeout=1e-9)).finish()


def test_no_restarts_mean_no_attack():
    property = Property((Case(unit_box(1), (Clause(()),)),), 1, 1)
    assert Attack(identity(1), {}, property, AttackSettings(restarts=0), Clock()).finish() is None


def test_descending_from_points_given_reaches_what_is_downhill():
    graph = identity(4)
    property = Property((Case(unit_box(4), (Clause((outputs({0: -1.0}, -0.99),)),)),), 4, 4)
    hunt = Descent(graph, tensors(graph), property, 0, Replay(graph), [0])
    generator = torch.Generator().manual_seed(0)
    assert any(hunt.descend(torch.full((4, 4), 0.5), 30, generator))


def test_the_best_points_are_kept_and_searched_around():
    graph = identity(3)
    property = Property((Case(unit_box(3), (Clause((outputs({0: -1.0}, -2.0),)),)),), 3, 3)
    hunt = Descent(graph, tensors(graph), property, 0, Replay(graph), [0])
    generator = torch.Generator().manual_seed(0)
    assert not any(hunt.restart(50, 2, generator))
    first = hunt.elite[:, 0]
    assert len(first) == 20 and first.min() > 0.6
    assert not any(hunt.search_nearby(50, 5, generator))
    assert hunt.elite[:, 0].min() >= first.min()


def test_losses_vanish_only_beyond_every_atom_of_the_target():
    atoms = outputs({0: 1.0}, 1.0), outputs({1: -2.0}, 4.0)
    objective = Objective((Clause(atoms), Clause(atoms[:1])), torch.float64, torch.device("cpu"))
    y = torch.tensor([[0.5, -1.0], [2.0, -1.0], [0.5, -3.0]], dtype=torch.float64)
    excess = objective.excess(torch.zeros(3, 1, dtype=torch.float64), y)
    torch.testing.assert_close(excess[:, :2], torch.tensor(
        [[-0.5, -1.0], [1.0, -1.0], [-0.5, 1.0]], dtype=torch.float64))  # fmt: skip
    assert (objective.worst(excess) <= 0).tolist() == [[True, True], [False, False], [False, True]]
    both = torch.zeros(3, dtype=torch.long)
    assert (objective.loss(excess, both) == 0).tolist() == [True, False, False]
    assert (objective.loss(excess, both + 1) == 0).tolist() == [True, False, True]


def test_points_of_a_box_lie_in_the_exact_box():
    rng = np.random.default_rng(0)
    lower = rng.normal(size=100)
    box = Box(lower, lower + rng.uniform(1e-6, 1, 100))
    space = space_of(box, torch.float32, torch.device("cpu"))
    points = space.random(50, torch.Generator().manual_seed(0)).double().numpy()
    assert all(box.contains(point) for point in points)


SATISFIABLE = [
    ("cora", 3), ("collins_rul_cnn", 3), ("rl_benchmarks", 10), ("safenlp", 5), ("sat_relu", 5),
    ("mnist_fc", 5),
]  # fmt: skip


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")
@pytest.mark.parametrize(("family", "count"), SATISFIABLE)
@pytest.mark.parametrize("expected", ["sat", "unsat"])
def test_known_verdicts_are_found_or_not_contradicted(family, count, expected):
    lines = (DATA / family / "instances.csv").read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    for row in [row for row in rows if row["expected"] == expected][:count]:
        graph = onnx.load(DATA / family / row["onnx"])
        property = vnnlib.load(DATA / family / row["vnnlib"], graph.inputs, graph.outputs)
        assert (search(graph, property) is not None) == (expected == "sat"), row


def test_the_attack_aims_at_the_nearest_alternative_of_each_choice():
    one, other, third = (Atom((), ((0, 1.0),), bound) for bound in (-3.0, 1.0, -1.0))
    clauses = [Clause((third,)), Clause((), (Choice(((one,), (other, third))), Choice(((one,),))))]
    objective = Objective(clauses, torch.float64, torch.device("cpu"))
    y = torch.tensor([[2.0]], dtype=torch.float64, requires_grad=True)
    excess = objective.excess(torch.zeros(1, 1, dtype=torch.float64), y)
    # y ≤ −3 is off by 5, y ≤ 1 by 1 and y ≤ −1 by 3: the first choice is off by 3, the second by 5.
    assert objective.worst(excess).tolist() == [[3.0, 5.0]]
    loss = objective.loss(excess, torch.tensor([1]))
    assert loss.item() == pytest.approx((1 + 9 + 25) ** 0.5, rel=1e-4)
    (slope,) = torch.autograd.grad(loss.sum(), y)
    assert slope.isfinite().all() and slope.item() > 0


@pytest.mark.parametrize("size", [3, 2**18])
def test_a_descent_holds_no_more_numbers_than_its_batch_allows(size: int) -> None:
    """What a step holds for each input is counted beside the network's values."""
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[1, {size}] x) => (float[1, {size}] y) {{ y = Relu(x) }}"""
    graph = onnx.loads(parse_model(text).SerializeToString())
    property = Property((Case(unit_box(size), (Clause((outputs({0: 1}, -1),)),)),), size, size)
    descent = Descent(graph, {}, property, 0, Replay(graph), (0,))
    point = sum(node.size for node in graph.nodes) + PER_INPUT * size
    assert descent.batch * point <= ELEMENTS < 2 * (descent.batch + 1) * point
    assert descent.kept * PER_INPUT * size <= ELEMENTS
