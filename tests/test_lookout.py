"""The parts of the attacks come once, after bounds and search had a trial time."""

from __future__ import annotations

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper

import boundmesh
from boundmesh.graph.graph import Graph
from boundmesh.lookout import Lookout
from boundmesh.mesh.runtime.open import layout_for
from boundmesh.proof import exact
from boundmesh.proof.guarantee import for_bounds
from boundmesh.proof.ladder import climb, crown_passes
from boundmesh.proof.standing import Standing
from boundmesh.property import Atom, Box, Case, Clause, Property
from boundmesh.read.onnx import loads
from boundmesh.run import Run
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


class HandClock(Clock):
    """A clock whose hand stands where the test puts it."""

    hand = 0.0

    @property
    def _own(self) -> float:
        return self.hand


def run_of(bound: float, timeout: float = 60.0) -> tuple[Run, HandClock, Recorder]:
    """Return a run whose bounds have not begun, its clock, and the recorder of its stages."""
    settings, recorder = Settings(device="cpu"), Recorder()
    graph, wanted = always_one(), never_above(bound)
    bounded = for_bounds(graph, settings, wanted)
    layout, clock = layout_for(bounded.bounded, settings), HandClock(timeout, recorder)
    run = Run(bounded, wanted, layout, ONE_GROUP, settings, clock, graph)
    run.standings.extend(Standing.at_start(question) for question in run.questions)
    return run, clock, recorder


def attacks(recorder: Recorder) -> int:
    return sum(span.stage == "attack" for span in recorder.history().spans)


POINT = torch.zeros(1, 1, 1)


def test_bounds_that_prove_a_property_spare_all_but_short_descents() -> None:
    options = {"rounding": "trust", "timeout": 60.0}
    result = boundmesh.verify(always_one(), never_above(1.1), **options)
    stages = [span.stage for span in result.history.spans]
    assert result.verdict.word == "unsat"
    assert stages.count("attack") == 1 and stages[-1] == "branch"


def test_each_part_of_the_attacks_comes_once_after_a_trial_time() -> None:
    run, clock, recorder = run_of(1.1)
    lookout, counts = Lookout(run), []
    clock.hand = 1.0
    assert not lookout.first()
    # The rest of the light attack takes 70 steps, a short descent 12: about 5.8 seconds are due.
    for clock.hand in (1.0, 3.9, 4.0, 5.9, 6.0, 50.0):
        assert lookout(0, POINT) is None
        counts.append(attacks(recorder))
    assert counts == [1, 1, 2, 2, 3, 3]
    assert not lookout.finish() and attacks(recorder) == 3


def test_there_is_no_trial_where_time_is_short() -> None:
    run, clock, recorder = run_of(1.1, timeout=20.0)
    lookout = Lookout(run)
    clock.hand = 1.0
    assert not lookout.first() and not lookout.in_time() and attacks(recorder) == 2


def test_between_iterations_of_bounds_only_the_light_attack_is_finished() -> None:
    run, clock, recorder = run_of(1.1)
    lookout = Lookout(run)
    assert not lookout.first()
    clock.hand = 50.0
    assert not lookout.light_in_time() and not lookout.light_in_time()
    assert attacks(recorder) == 2


def test_an_attack_within_a_search_finds_what_its_points_do_not_show() -> None:
    run, _, _ = run_of(0.5)
    lookout = Lookout(run)
    assert lookout.finish() and isinstance(lookout.found, Counterexample)


def test_what_is_proved_is_not_attacked_widely() -> None:
    run, _, recorder = run_of(1.1)
    lookout = Lookout(run)
    assert not lookout.finish_light()
    for standing in run.standings:
        standing.rows.fill_(1.0)
    before = attacks(recorder)
    assert not lookout.finish() and attacks(recorder) == before


def test_an_attack_in_parts_finds_what_a_whole_attack_finds() -> None:
    run, _, _ = run_of(0.5)
    parts = run.attack()
    found: Counterexample | None = None
    while not parts.over:
        found = run.go_on(parts)
    whole = run.hunt()
    assert found is not None and whole is not None and (found.input == whole.input).all()
    refuted, _, _ = run_of(1.1)
    attack = refuted.attack()
    assert refuted.go_on(attack) is None and not attack.over
    assert refuted.go_on(attack) is None and attack.over


def test_crown_pulls_back_two_rows_for_each_neuron_that_may_be_unstable() -> None:
    run, _, _ = run_of(1.1)
    (standing,) = run.standings
    assert crown_passes(standing) == 2 * 3
    climb(standing, run.settings.bounds, run.clock, methods=["crown-ibp"])
    assert crown_passes(standing) == 2 * 1
    standing.rows.fill_(1.0)
    assert crown_passes(standing) == 0


def test_exact_arithmetic_suits_small_networks_with_open_clauses_only() -> None:
    run, _, _ = run_of(1.1)
    assert exact.suits(run.standings, run.graph, run.property)
    run.standings[0].rows.fill_(1.0)
    assert not exact.suits(run.standings, run.graph, run.property)


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
