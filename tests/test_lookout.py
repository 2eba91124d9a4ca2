"""The wide attack comes once, after a search had its trial time, and not where that sufficed."""

from __future__ import annotations

import math

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper

import boundmesh
from boundmesh.graph.graph import Graph
from boundmesh.mesh.runtime.open import layout_for
from boundmesh.proof.guarantee import for_bounds
from boundmesh.proof.standing import Standing
from boundmesh.property import Atom, Box, Case, Clause, Property
from boundmesh.read.onnx import loads
from boundmesh.run import Lookout, Run
from boundmesh.runtime.clock import Clock
from boundmesh.runtime.history import Recorder
from boundmesh.search.parallel.groups import ONE_GROUP
from boundmesh.settings import Settings
from boundmesh.verdict import Counterexample


def always_one() -> Graph:
    """`relu(relu(x + 2) − relu(x + 2) + 1)`, which is 1: intervals do not show it, CROWN does."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1]) for name in "xy")
    parameters = {
        "twice": np.ones((1, 2)), "two": np.full(2, 2.0),
        "apart": np.array([[1.0], [-1.0]]), "one": np.ones(1),
    }  # fmt: skip
    nodes = [
        helper.make_node("Gemm", ["x", "twice", "two"], ["both"]),
        helper.make_node("Relu", ["both"], ["positive"]),
        helper.make_node("Gemm", ["positive", "apart", "one"], ["difference"]),
        helper.make_node("Relu", ["difference"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(each.astype(np.float32), name) for name, each in parameters.items()
    ]
    graph = helper.make_graph(nodes, "always_one", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return loads(model.SerializeToString())


def never_above(bound: float) -> Property:
    """The property that the output is nowhere at least `bound` for x in [−1, 1]."""
    clause = Clause((Atom((), ((0, -1.0),), -bound),))
    return Property((Case(Box([-1.0], [1.0]), (clause,)),), 1, 1)


def run_of(bound: float) -> tuple[Run, Recorder]:
    """Return a run whose bounds have not begun, and the recorder of its stages."""
    settings, recorder = Settings(device="cpu"), Recorder()
    graph, wanted = always_one(), never_above(bound)
    bounded = for_bounds(graph, settings, wanted)
    layout, clock = layout_for(bounded.bounded, settings), Clock(60.0, recorder)
    run = Run(bounded, wanted, layout, ONE_GROUP, settings, clock, graph)
    run.standings.extend(Standing.at_start(question) for question in run.questions)
    return run, recorder


def attacks(recorder: Recorder) -> int:
    return sum(span.stage == "attack" for span in recorder.history().spans)


def test_a_search_of_one_domain_spares_the_wide_attack() -> None:
    result = boundmesh.verify(always_one(), never_above(1.1), rounding="trust", timeout=60.0)
    stages = [span.stage for span in result.history.spans]
    assert result.verdict.word == "unsat"
    assert stages.count("attack") == 1 and stages[-1] == "branch"


def test_no_attack_comes_before_its_time_and_only_one_after() -> None:
    run, recorder = run_of(1.1)
    early, late = Lookout(run, math.inf), Lookout(run, 0.0)
    point = torch.zeros(1, 1, 1)
    assert early(0, point) is None and attacks(recorder) == 0
    assert late(0, point) is None and attacks(recorder) == 1
    assert late(0, point) is None and late.attack() is None and attacks(recorder) == 1
    assert early.attack() is None and attacks(recorder) == 2


def test_an_attack_within_a_search_finds_what_its_points_do_not_show() -> None:
    run, _ = run_of(0.5)
    found = Lookout(run, 0.0).attack_in_time()
    assert isinstance(found, Counterexample)


def test_what_is_proved_is_not_attacked() -> None:
    run, recorder = run_of(0.5)
    for standing in run.standings:
        standing.rows.fill_(1.0)
    assert Lookout(run, 0.0).attack() is None and attacks(recorder) == 0


def test_a_stage_within_another_interrupts_it() -> None:
    recorder = Recorder()
    clock = Clock(None, recorder)
    with clock.stage("branch", "all of it"), clock.stage("attack"):
        pass
    spans = recorder.history().spans
    assert [(span.stage, span.detail) for span in spans] == [
        ("branch", "all of it"),
        ("attack", ""),
        ("branch", "all of it"),
    ]
    assert set(clock.seconds) == {"branch", "attack"}
    assert sum(clock.seconds.values()) <= clock.spent
