"""Axes of open length, which a shape, a property or an example fixes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

import boundmesh
from boundmesh.errors import ReadError
from boundmesh.read.runtime import Runtime
from tests.conftest import Command

IMAGE = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N, 1, H, W] x) => (float[N, 2] y)
<float[2, 1, 2, 2] k = {1, -1, 0.5, 2, 0, 1, -2, 1}, int64[2] target = {0, 2}>
{ c = Conv(x, k) r = Relu(c) p = GlobalAveragePool(r) y = Reshape(p, target) }"""
SEQUENCE = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N, S, 3] x) => (float[N, 3] y)
{ s = Shape(x) r = Relu(x) y = ReduceMean<axes=[1], keepdims=0>(r) }"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return saved(tmp_path, IMAGE)


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    return saved(tmp_path, SEQUENCE)


def saved(folder: Path, text: str) -> Path:
    path = folder / "network.onnx"
    path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    return path


def test_a_shape_fixes_open_axes_and_the_network_computes_the_same(image: Path) -> None:
    graph = boundmesh.load(image, shapes={"x": (1, 1, 3, 5)})
    assert graph.inputs[0].shape == (1, 1, 3, 5)
    box = boundmesh.Box(np.full(15, -1.0), np.full(15, 1.0))
    found = boundmesh.bounds(graph, box)
    y = np.stack([Runtime(graph)(x) for x in np.random.default_rng(0).uniform(-1, 1, (20, 15))])
    assert (found.lower <= y + 1e-6).all() and (y - 1e-6 <= found.upper).all()


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((1, 3, 4, 4), "in the network, and"),
        ((1, 1, 4), "in the network, and"),
        ((1, 1, 0, 4), "in the network, and"),
        ("wide", "shapes are"),
        ("1144", "shapes are"),
        ((1, 1, 4.5, 4), "shapes are"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(image: Path, shape: object, reason: str) -> None:
    with pytest.raises(ReadError, match=reason):
        boundmesh.load(image, shapes={"x": shape})  # type: ignore[dict-item]


def test_open_axes_without_a_shape_are_refused_with_the_way_out(image: Path) -> None:
    with pytest.raises(ReadError, match=r"--shape x=1,1,\?,\?"):
        boundmesh.load(image)


def test_a_property_of_version_1_fixes_one_open_length(sequence: Path, tmp_path: Path) -> None:
    text = "".join(f"(declare-const X_{n} Real)\n" for n in range(12))
    text += "".join(f"(declare-const Y_{n} Real)\n" for n in range(3))
    text += "".join(f"(assert (>= X_{n} -1))\n(assert (<= X_{n} 1))\n" for n in range(12))
    spec = tmp_path / "spec.vnnlib"
    spec.write_text(text + "(assert (>= Y_0 1.5))\n")
    result = boundmesh.verify(sequence, spec)
    assert result.verdict.word == "unsat"


def declaring(folder: Path, shape: tuple[int, ...], outputs: int, more: str = "") -> Path:
    """A property of version 2: every input in [−1, 1], and the first output of a batch ≥ 100."""
    places = [f"X[{','.join(map(str, index))}]" for index in np.ndindex(*shape)]
    spec = folder / "spec.vnnlib"
    spec.write_text(
        f"(vnnlib-version <2.0>)\n{more}\n(declare-network f\n"
        f"  (declare-input X float32 {list(shape)})\n"
        f"  (declare-output Y float32 {[shape[0], outputs]}))\n"
        + "".join(f"(assert (and (<= -1.0 {each}) (<= {each} 1.0)))\n" for each in places)
        + "(assert (>= Y[0,0] 100.0))\n"
    )
    return spec


def test_a_property_of_version_2_declares_the_shape(image: Path, tmp_path: Path) -> None:
    spec = declaring(tmp_path, (1, 1, 2, 3), 2)
    assert boundmesh.verify(image, spec).verdict.word == "unsat"


@pytest.mark.parametrize("more", ["", "; (declare-input X float32 [1,1,2,3])"])
def test_a_property_of_version_2_declares_the_length_of_a_batch(
    image: Path, tmp_path: Path, command: Command, more: str
) -> None:
    spec = declaring(tmp_path, (3, 1, 2, 3), 2, more)
    result = boundmesh.verify(image, spec)
    assert (result.verdict.word, result.property.inputs) == ("unsat", 18)
    assert command("verify", spec, "--network", image).out == "unsat\n"
    assert command("supports", image, spec).code == 0
    clause = declaring(tmp_path, (2, 3), 4)
    fixed = saved(tmp_path, SEQUENCE.replace("N, S, 3", "N, 3").replace("axes=[1], keepdims=0",
                  "axes=[1]").replace("float[N, 3] y", "float[N, 1] y"))  # fmt: skip
    with pytest.raises(boundmesh.BoundmeshError, match=r"the network's 'y' is \[2, 1\]"):
        boundmesh.verify(fixed, clause)


def test_a_benchmark_reads_open_lengths_from_each_property(
    image: Path, tmp_path: Path, command: Command
) -> None:
    for name, shape in (("a", (1, 1, 2, 3)), ("b", (1, 1, 4, 4)), ("c", (2, 1, 2, 2))):
        declaring(tmp_path, shape, 2).rename(tmp_path / f"{name}.vnnlib")
    lines = [f"{image.name},{name}.vnnlib,60\n" for name in "abca"]
    (tmp_path / "list.csv").write_text("".join(lines))
    outcome = command("bench", tmp_path / "list.csv", "--json", tmp_path / "sum.json")
    assert outcome.code == 0
    assert json.loads((tmp_path / "sum.json").read_text())["all"]["unsat"] == 3


def test_the_numbers_of_several_inputs_are_not_the_length_of_the_first(tmp_path: Path) -> None:
    two = saved(
        tmp_path,
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[N] x, float[2] z) => (float[2] y) { y = Add(x, z) }""",
    )
    found = boundmesh.bounds(two, boundmesh.Box(np.zeros(3), np.ones(3)))
    assert found.upper == pytest.approx([2, 2], rel=1e-5)


def test_a_region_of_the_input_fixes_one_open_length(sequence: Path) -> None:
    box = boundmesh.Box(np.zeros(15), np.ones(15))
    assert boundmesh.bounds(sequence, box).upper == pytest.approx(np.ones(3), rel=1e-5)


CLASSIFIER = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N, 1, H, W] x) => (float[N, 2] y) <float[2, 1, 2, 2] k = {1, -1, 0.5, 2, 0, 1, -2, 1}>
{ c = Conv(x, k) r = Relu(c) p = GlobalAveragePool(r) y = Flatten<axis=1>(p) }"""


def test_every_command_that_advises_to_give_a_shape_takes_one(
    command: Command, tmp_path: Path
) -> None:
    network = saved(tmp_path, CLASSIFIER)
    np.save(tmp_path / "x.npy", np.ones((1, 1, 3, 4)))
    spec = declaring(tmp_path, (1, 1, 3, 4), 2)
    region = "--input", tmp_path / "x.npy", "--eps", "0.01"
    calls = {
        "certify": ("certify", network, tmp_path / "x.npy", "--eps", "0.01"),
        "plan": ("plan", network),
        "verify": ("verify", network, *region),
        "bounds": ("bounds", "--network", network, *region),
    }
    for words in calls.values():
        outcome = command(*words)
        if outcome.code:
            assert "--shape x=1,1,?,?" in outcome.words
        assert command(*words, "--shape", "x=1,1,3,4").code == 0
    assert command("plan", network, spec).code == 0
    assert command("plan", network, *region).code == 0
    outcome = command("plan", network, "--shape", "z=1")
    assert outcome.code == 2
    box = boundmesh.Box(np.zeros((1, 1, 3, 4)), np.ones((1, 1, 3, 4)))
    for given in ({"asked": box}, {"asked": spec}, {"shapes": {"x": (1, 1, 3, 4)}}):
        assert boundmesh.plan(network, **given).lines
    graph = boundmesh.load(network, shapes={"x": (1, 1, 3, 4)})
    with pytest.raises(boundmesh.BoundmeshError, match="shapes are for a network in a file"):
        boundmesh.plan(graph, shapes={"x": (1, 1, 3, 4)})
