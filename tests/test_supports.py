"""`boundmesh supports NETWORK [SPEC]` names everything that cannot be bounded, before any run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import NodeProto, helper

from tests.conftest import Command
from tests.read.conftest import Shape, network_bytes

ROWS = np.ones((3, 2), np.float32)
QUERY = """(vnnlib-version <2.0>)
(declare-network f (declare-input X Real [1,3]) (declare-output Y Real [1,2]))
(assert (and (>= X[0,0] -1.0) (<= X[0,0] 1.0) (>= X[0,1] 0.0) (<= X[0,1] 1.0) (<= X[0,2] 1.0)))
{more}
(assert (>= Y[0,0] 9.0))
"""


def saved(folder: Path, *nodes: NodeProto, inputs: Mapping[str, Shape] | None = None) -> Path:
    path = folder / "net.onnx"
    shapes = inputs or {"x": (1, 3)}
    path.write_bytes(network_bytes(nodes, shapes, constants={"w": ROWS}))
    return path


def test_every_refused_node_is_named_with_what_to_use_instead(
    command: Command, tmp_path: Path
) -> None:
    path = saved(
        tmp_path,
        helper.make_node("Bernoulli", ["x"], ["a"], name="noise"),
        helper.make_node("MatMul", ["a", "w"], ["b"], name="product"),
        helper.make_node("Multinomial", ["b"], ["c"], name="draw", sample_size=2),
        helper.make_node("Cast", ["c"], ["y"], name="back", to=1),
    )
    outcome = command("supports", path)
    assert outcome.code == 1
    for words in ("'noise' (Bernoulli)", "'draw' (Multinomial)", "a constant table", "1 MatMul"):
        assert words in outcome.out
    assert "product" not in outcome.out


def test_what_follows_a_value_of_unknown_shape_is_listed_as_unchecked(
    command: Command, tmp_path: Path
) -> None:
    path = saved(
        tmp_path,
        helper.make_node("NonZero", ["x"], ["a"], name="places"),
        helper.make_node("Cast", ["a"], ["b"], name="cast", to=1),
        helper.make_node("Neg", ["b"], ["y"], name="turn"),
    )
    outcome = command("supports", path)
    assert outcome.code == 1
    assert "'places' (NonZero)" in outcome.out
    assert "'cast'" in outcome.out and "'turn'" in outcome.out


def test_a_query_whose_inputs_all_have_bounds_can_be_asked_and_proved(
    command: Command, tmp_path: Path
) -> None:
    path = saved(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]))
    spec = tmp_path / "all.vnnlib"
    spec.write_text(QUERY.format(more="(assert (>= X[0,2] 0.0))"))
    outcome = command("supports", path, spec)
    assert (outcome.code, "can be bounded" in outcome.out) == (0, True), outcome
    # The arguments may stand in any order, and the property's name for the network may be given.
    assert command("supports", spec, "--network", f"f={path}").code == 0


def test_an_input_without_a_bound_is_named(command: Command, tmp_path: Path) -> None:
    path = saved(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]))
    spec = tmp_path / "open.vnnlib"
    spec.write_text(QUERY.format(more=""))
    outcome = command("supports", path, spec)
    assert outcome.code == 1
    assert "X[0,2] has no lower bound" in outcome.out


def test_axes_of_open_length_leave_the_answer_open_until_they_are_given(
    command: Command, tmp_path: Path
) -> None:
    path = saved(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), inputs={"x": (1, "n", 3)})
    outcome = command("supports", path)
    assert outcome.code == 3
    assert "--shape x=1,?,3" in outcome.out
    assert command("supports", path, "--shape", "x=1,5,3").code == 0


def test_a_value_without_finite_bounds_is_named(command: Command, tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Reciprocal", ["a"], ["y"]),
    )
    spec = tmp_path / "all.vnnlib"
    spec.write_text(QUERY.format(more="(assert (>= X[0,2] 0.0))"))
    outcome = command("supports", path, spec)
    assert "'y' (reciprocal) has no finite interval" in outcome.out


def test_a_query_that_does_not_fit_its_network_cannot_be_asked(
    command: Command, tmp_path: Path
) -> None:
    path = saved(tmp_path, helper.make_node("Relu", ["x"], ["y"]))
    spec = tmp_path / "all.vnnlib"
    spec.write_text(QUERY.format(more=""))
    outcome = command("supports", path, spec)
    assert outcome.code == 1
    assert "cannot be asked" in outcome.out


def test_what_depends_on_lengths_alone_is_not_refused_while_they_are_open(
    command: Command, tmp_path: Path
) -> None:
    path = saved(
        tmp_path,
        helper.make_node("Shape", ["x"], ["lengths"]),
        helper.make_node("ConstantOfShape", ["lengths"], ["zeros"], name="start"),
        helper.make_node("Add", ["x", "zeros"], ["y"]),
        inputs={"x": (1, "n")},
    )
    outcome = command("supports", path)
    assert "refused" not in outcome.out and "2 of constants" in outcome.out
    assert command("supports", path, "--shape", "x=1,4").code == 0
    drawn = saved(
        tmp_path,
        helper.make_node("RandomNormal", [], ["drawn"], name="draw", shape=[1]),
        helper.make_node("Add", ["x", "drawn"], ["y"]),
        inputs={"x": (1, "n")},
    )
    assert "'draw' (RandomNormal)" in command("supports", drawn).out
