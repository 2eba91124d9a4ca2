"""What the commands answer when all is well."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import boundmesh
from boundmesh import Box
from boundmesh.commands.supports import CAPABILITIES
from boundmesh.operators import RULES

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
NEAR, FAR, IMAGE = DIGITS / "near.vnnlib", DIGITS / "far.vnnlib", DIGITS / "image.npy"
NETWORKS = [DIGITS / f"{name}.onnx" for name in ("mlp", "conv", "residual")]
MLP = NETWORKS[0]
EACH = pytest.mark.parametrize("network", NETWORKS, ids=lambda path: path.stem)


def test_name_and_version_are_one_line(command):
    assert command("--name").out == "boundmesh\n"
    assert command("--version").out == f"{boundmesh.__version__}\n"


@EACH
def test_a_property_is_proved(command, network):
    outcome = command("verify", NEAR, "--network", network)
    assert (outcome.code, outcome.out) == (0, "unsat\n")
    assert "Y[0,2] is greater than every other output" in outcome.words
    assert "proved" in outcome.words


@EACH
def test_a_property_is_refuted_by_a_point_that_onnx_runtime_confirms(command, network):
    outcome = command("verify", FAR, "--network", f"digits={network}")
    lines = outcome.out.splitlines()
    assert outcome.code == 0
    assert lines[:2] == ["sat", "X Real [1,1,8,8]"]
    assert lines[66] == "Y Real [1,10]"
    x = np.array([float(line) for line in lines[2:66]])
    y = np.array([float(line) for line in lines[67:]])
    image = np.load(IMAGE).astype(np.float64).ravel()
    assert (x >= np.clip(image - 0.3, 0, 1).round(6)).all()
    assert (x <= np.clip(image + 0.3, 0, 1).round(6)).all()
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"image": x.astype(np.float32).reshape(1, 1, 8, 8)})
    np.testing.assert_array_equal(scores.ravel().astype(np.float64), y)
    assert np.delete(y, 2).max() >= y[2]


def test_exit_codes_tell_the_verdict_only_when_asked(command):
    undecided = ("--method", "ibp")
    for spec, method, word, code in (
        (NEAR, (), "unsat", 0),
        (FAR, (), "sat", 1),
        (NEAR, undecided, "unknown", 3),
    ):
        words = ("verify", spec, "--network", MLP, *method)
        assert command(*words).code == 0
        outcome = command(*words, "--exit-code")
        assert (outcome.code, outcome.out.splitlines()[0]) == (code, word)


def test_an_undecided_property_says_why_and_how_far(command):
    outcome = command("verify", NEAR, "--network", MLP, "--method", "ibp")
    assert outcome.out == "unknown\n"
    assert "not decided" in outcome.words
    assert "--method auto" in outcome.words


def test_bounds_that_do_not_suffice_leave_neurons_unstable(command):
    outcome = command("verify", NEAR, "--network", NETWORKS[2], "--method", "crown-ibp")
    assert outcome.out == "unknown\n"
    assert "unstable neurons:" in outcome.words


def test_files_hold_the_verdict_for_programs(command, tmp_path):
    text, data = tmp_path / "result.txt", tmp_path / "result.json"
    command("verify", FAR, "--network", MLP, "--result-file", text, "--json", data, "--seed", 3)
    content = json.loads(data.read_text())
    assert text.read_text().startswith("sat\nX Real [1,1,8,8]\n")
    assert content["verdict"] == "sat"
    assert len(content["counterexample"]["input"]) == 64
    assert content["settings"]["seed"] == 3
    assert set(content["seconds"]) >= {"read", "attack", "total"}


def test_quiet_leaves_standard_error_empty(command):
    assert command("verify", NEAR, "--network", MLP, "--quiet").err == ""


def test_gzipped_files_are_read(command, tmp_path):
    import gzip

    for source in (NEAR, MLP):
        (tmp_path / f"{source.name}.gz").write_bytes(gzip.compress(source.read_bytes()))
    outcome = command("verify", tmp_path / "near.vnnlib.gz", "--network", tmp_path / "mlp.onnx.gz")
    assert outcome.out == "unsat\n"


@pytest.mark.parametrize("method", ["ibp", "crown-ibp", "crown", "alpha-crown"])
def test_bounds_hold_the_outputs_of_sampled_inputs(command, tmp_path, method):
    network, data = DIGITS / "conv.onnx", tmp_path / "bounds.json"
    outcome = command(
        "bounds", "--network", network, "--input", IMAGE, "--eps", 0.05, "--clip", "0,1",
        "--method", method, "--json", data,
    )  # fmt: skip
    content = json.loads(data.read_text())
    lower, upper = np.array(content["lower"]), np.array(content["upper"])
    assert len(outcome.out.splitlines()) == 11
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    image, random = np.load(IMAGE), np.random.default_rng(0)
    for _ in range(50):
        x = np.clip(image + random.choice([-0.05, 0.05], image.shape), 0, 1).astype(np.float32)
        (y,) = session.run(None, {"image": x})
        assert (lower - 1e-4 <= y).all() and (y <= upper + 1e-4).all()


def test_bounds_of_a_property_are_those_around_its_point(command, tmp_path):
    questions: dict[str, list[object]] = {
        "spec": [NEAR],
        "point": ["--input", IMAGE, "--eps", 0.1],
    }
    for name, words in questions.items():
        clip = ["--clip", "0,1"] if name == "point" else []
        command("bounds", *words, *clip, "--network", MLP, "--json", tmp_path / name,
                "--method", "crown")  # fmt: skip
    spec, point = (json.loads((tmp_path / name).read_text()) for name in ("spec", "point"))
    np.testing.assert_allclose(spec["lower"], point["lower"], atol=1e-4)
    np.testing.assert_allclose(spec["upper"], point["upper"], atol=1e-4)


def test_the_python_functions_answer_as_the_commands_do():
    network = boundmesh.load(MLP)
    assert boundmesh.verify(network, NEAR, timeout=60).verdict.word == "unsat"
    box = Box.around(np.load(IMAGE), 0.05, clip=(0, 1))
    crown = boundmesh.bounds(network, box, method="crown")
    alpha = boundmesh.bounds(network, box, method="alpha-crown", iterations=3)
    assert (alpha.lower >= crown.lower - 1e-5).all()
    rows = np.eye(10)[:1] - np.eye(10)[1:2]
    difference = boundmesh.bounds(network, box, method="crown", rows=rows)
    assert difference.lower[0] >= crown.lower[0] - crown.upper[1] - 1e-5


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_every_capability_is_answered(command, capability):
    assert command("supports", capability).code == 0


def test_operators_are_one_a_line(command):
    operators = command("supports", "--onnx-operators").out.splitlines()
    assert operators == sorted(set(operators))
    assert {"Gemm", "Conv", "Relu", "MaxPool", "Shape"} <= set(operators)


def test_verdicts_hold_in_real_and_floating_point_arithmetic(command):
    types = command("supports", "--onnx-element-types").out.split()
    assert types[:5] == ["real", "float16", "bfloat16", "float32", "float64"]
    assert {"int8", "int64", "uint8", "bool"} <= set(types[5:])


def test_help_names_every_command(command):
    words = command("--help").out
    for name in ("verify", "bounds", "supports"):
        assert name in words


def test_the_rules_of_the_examples_exist():
    for network in NETWORKS:
        assert {node.op for node in boundmesh.load(network).nodes} <= {*RULES, "input"}
