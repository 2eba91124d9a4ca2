"""Plans of networks on GPUs and meshes that are not there."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx.numpy_helper import from_array
from onnx.parser import parse_model

import boundmesh
from boundmesh import BoundmeshError
from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Port
from boundmesh.plan.layouts import imagined_layout
from boundmesh.plan.machine import CPU, HOPPER, OTHER_GPU, Machine
from boundmesh.plan.neurons import Unstable
from boundmesh.plan.plan import Plan, Ranks
from boundmesh.plan.planning import plan_bounds
from boundmesh.plan.rehearsal import Bounding, rehearse
from boundmesh.proof.guarantee import for_bounds
from boundmesh.read.onnx import loads
from boundmesh.read.shapes import stand_in
from boundmesh.settings import Settings
from tests.plan.models import external_mlp, shapes_of_mlp

MIB = 2**20
WIDE = shapes_of_mlp(784, 4096, 4096, 4096, 10)
HUGE = 20000
DIGITS = Path(__file__).parents[2] / "examples" / "digits"


def crown(*sizes: int, shards: int = 1, schedule: str = "auto", trust: bool = True) -> Plan:
    bounding = Bounding(shapes_of_mlp(*sizes), "crown", 20, trust=trust)
    return plan_bounds(bounding, Unstable(), HOPPER, Ranks(shards, shards, schedule))


# docs/measurements.md, "CROWN and α-CROWN": MiB on Hopper GPUs, one or two.
MEASURED = [
    ((4096,) * 4, 1, "auto", 269),
    ((4096,) * 4, 2, "gather", 199),
    ((4096,) * 4, 2, "exchange", 167),
    ((8192,) * 4, 1, "auto", 858),
    ((8192,) * 4, 2, "gather", 589),
    ((4096,) * 8, 1, "auto", 525),
    ((4096,) * 8, 2, "gather", 327),
]


@pytest.mark.parametrize(("hidden", "shards", "schedule", "mib"), MEASURED)
def test_a_plan_for_hopper_gpus_gives_the_peaks_that_were_measured_on_them(
    hidden: tuple[int, ...], shards: int, schedule: str, mib: int
) -> None:
    (line,) = crown(784, *hidden, 10, shards=shards, schedule=schedule).lines
    assert line.peak / MIB == pytest.approx(mib, rel=0.01)


@pytest.mark.parametrize("machine", [CPU, HOPPER, OTHER_GPU], ids=lambda each: each.name)
@pytest.mark.parametrize("method", ["ibp", "crown-ibp", "crown", "alpha-crown", "auto"])
def test_the_terms_add_up_to_the_peak(method: str, machine: Machine) -> None:
    bounding = Bounding(shapes_of_mlp(784, 600, 600, 10), method, 10)
    for schedule in ("gather", "exchange"):
        found = plan_bounds(bounding, Unstable(0.5), machine, Ranks(1, 2, schedule))
        for line in found.lines:
            assert sum(line.terms.values()) == pytest.approx(line.peak)
            assert line.seconds > 0


@pytest.mark.parametrize("method", ["crown", "alpha-crown"])
def test_more_shards_never_need_more_memory(method: str) -> None:
    """They do under `exchange`: with more ranks than parts a weight is gathered for intervals."""
    found = plan_bounds(Bounding(WIDE, method, 10), Unstable(0.3), HOPPER, Ranks(1, 8, "gather"))
    peaks = [line.peak for line in found.lines]
    assert [line.shards for line in found.lines] == [1, 2, 4, 8]
    assert peaks == sorted(peaks, reverse=True)


def test_more_unstable_neurons_never_need_less_memory() -> None:
    shares = (0.0, 0.01, 0.1, 0.5, 1.0)
    bounding = Bounding(shapes_of_mlp(784, 1024, 1024, 10), "alpha-crown", 10)
    peaks = [plan_bounds(bounding, Unstable(share), HOPPER).lines[0].peak for share in shares]
    assert peaks == sorted(peaks)


@pytest.mark.parametrize("method", ["crown", "alpha-crown"])
@pytest.mark.parametrize("machine", [CPU, HOPPER], ids=lambda each: each.name)
def test_two_tiles_stand_for_all_of_them(method: str, machine: Machine) -> None:
    bounding = Bounding(shapes_of_mlp(100, 512, 512, 10), method, 10, tile_elements=2**16)
    layout_of = imagined_layout(bounding, 1, "one", "none", peers=False)
    few, all_of_them = (
        rehearse(bounding, Unstable(0.7), machine, layout_of, tiles) for tiles in (2, 10**6)
    )
    assert few.peak == pytest.approx(all_of_them.peak, rel=0.01)
    for stage, work in all_of_them.stages.items():
        assert few.stages[stage].operations == pytest.approx(work.operations, rel=0.02)


def test_the_least_number_of_shards_is_the_first_that_fits() -> None:
    bounding, counts = Bounding(WIDE, "crown", 10), range(1, 5)
    peaks = [
        plan_bounds(bounding, Unstable(), HOPPER, Ranks(n, n, "exchange")).lines[0].peak
        for n in counts
    ]
    for peak in peaks:
        memory = HOPPER.reserve + int(peak)
        found = plan_bounds(bounding, Unstable(), HOPPER, Ranks(1, 4, "exchange"), memory)
        fitting = [n for n, each in zip(counts, peaks, strict=True) if each <= peak]
        assert found.least == min(fitting)


def test_weights_that_are_not_there_are_planned_without_memory(tmp_path: Path) -> None:
    model = external_mlp(tmp_path, 784, HUGE, HUGE, HUGE, 10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = boundmesh.plan(model, mesh="shards=1..4", memory="2GiB", method="crown", unstable="10%")
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert found.lines[0].peak > 4 * (2 * HUGE**2 + 784 * HUGE)
    assert found.least is not None and found.least > 1
    assert taken < 300 * MIB


def test_a_sparse_file_of_weights_is_not_read(tmp_path: Path) -> None:
    model = external_mlp(tmp_path, 784, HUGE, HUGE, 10)
    with (tmp_path / "weights.bin").open("wb") as file:
        os.truncate(file.fileno(), 4 * (784 * HUGE + HUGE**2 + 10 * HUGE))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    boundmesh.plan(model, method="ibp")
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert taken < 300 * MIB


def test_ibp_counts_fewer_neurons_in_a_smaller_region() -> None:
    x = torch.zeros(64).numpy() + 0.5
    small, large = (
        boundmesh.plan(DIGITS / "mlp.onnx", boundmesh.Box.around(x, eps)) for eps in (1e-4, 0.5)
    )
    assert small.unstable.source == "counted by IBP"
    starts = small.unstable.interval
    assert all(starts[name] <= large.unstable.interval[name] for name in starts)
    assert small.lines[0].peak < large.lines[0].peak


def test_a_plan_prints_in_few_words() -> None:
    found = plan_bounds(Bounding(WIDE, "crown", 10), Unstable(), HOPPER, Ranks(1, 16))
    assert len(repr(found)) < 200 and repr(found).startswith("Plan(crown: ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory": "80 apples"}, "expected a number of bytes"),
        ({"memory": -1}, "expected a number of bytes"),
        ({"unstable": "130%"}, "from 0% to 100%"),
        ({"unstable": float("nan")}, "from 0% to 100%"),
        ({"mesh": "shards=4..2"}, "from a smaller to a larger"),
        ({"mesh": "shards=0"}, "expected shards=N"),
        ({"mesh": "shards=2,domains=2"}, "give shards alone"),
        ({"mesh": 4}, "expected words"),
        ({"rows": 0}, "a whole number ≥ 1"),
        ({"tflops": 0}, "a number > 0"),
        ({"device": "tpu"}, "expected auto, cpu or cuda"),
        ({"method": "magic"}, "expected auto ibp"),
        ({"asked": "nowhere.vnnlib"}, "no such file"),
        ({"asked": 7}, "expected"),
        ({"asked": boundmesh.Box([0.0], [1.0])}, "the region has 1 inputs"),
    ],
)
def test_every_bad_argument_raises_a_boundmesh_error(options: dict[str, Any], words: str) -> None:
    with pytest.raises(BoundmeshError, match=words):
        boundmesh.plan(DIGITS / "mlp.onnx", **options)


@pytest.mark.parametrize("rounding", ["real", "float32"])
def test_a_plan_is_made_of_the_graph_that_a_run_bounds(rounding: str) -> None:
    """In real arithmetic, normalised values keep their common factor, and forms their squares."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[1, 6] x) => (float[1, 2] y)
    <float[6, 4] w, float[4] gain, float[4, 2] v>
    { h = MatMul(x, w) n = LayerNormalization(h, gain) y = MatMul(n, v) }"""
    model = parse_model(text)
    for name, shape in (("w", (6, 4)), ("gain", (4,)), ("v", (4, 2))):
        model.graph.initializer.append(from_array(np.ones(shape, np.float32), name))
    graph = loads(model.SerializeToString())
    planned = boundmesh.plan(graph, method="crown", rounding=rounding).bounding.graph
    run = for_bounds(graph, Settings(rounding=rounding))
    assert [node.op for node in planned.nodes] == [node.op for node in run.nodes]
    products = [node for node in planned.nodes if node.op == "multiply"]
    limits = [node for node in products if "limit" in node.attributes]
    assert bool(limits) == (rounding == "real")


def test_a_normalisation_is_planned_without_the_numbers_of_large_weights(tmp_path: Path) -> None:
    """The layer behind it would take 3 GiB in float64, of which a rewrite reads one column."""
    build, one = Builder(), np.ones(1, np.float32)
    x = build.input((1, HUGE))
    squares = build.add("sum", build.add("power", x, exponent=2.0), axes=(1,))
    root = build.add("reciprocal", build.add("sqrt", build.add("shift", squares, weights=(one,))))
    scaled = build.add("multiply", x, build.broadcast(root, (1, HUGE)))
    gain = build.add("scale", scaled, weights=(stand_in((HUGE,)),))
    y = build.add("linear", gain, weights=(stand_in((HUGE, HUGE)), stand_in((HUGE,))))
    graph = build.graph(y, (Port("x", (1, HUGE)),), (Port("y", (1, HUGE)),))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = boundmesh.plan(graph, method="crown", rounding="real", rows=10, unstable="1%")
    assert any("limit" in node.attributes for node in found.bounding.graph.nodes)
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert taken < 300 * MIB
