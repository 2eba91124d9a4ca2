"""Bad input ends with a message, exit code 2, and neither a traceback nor a verdict."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from boundmesh.commands.files import one_network
from boundmesh.errors import BoundmeshError

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
NEAR, MLP, IMAGE = DIGITS / "near.vnnlib", DIGITS / "mlp.onnx", DIGITS / "image.npy"

TINY = """
(vnnlib-version <2.0>)
(declare-network f
  (declare-input X {type} [1,2])
  (declare-output Y {type} [1,2]))
(assert (and (>= X[0,0] {low}) (<= X[0,0] 1.0)))
(assert (and (>= X[0,1] -1.0) (<= X[0,1] 1.0)))
(assert (<= {claim}))
"""


def tiny_property(folder: Path, low="-1.0", claim="Y[0,0] -99.0", type="Real") -> Path:
    path = folder / "tiny.vnnlib"
    path.write_text(TINY.format(low=low, claim=claim, type=type))
    return path


def tiny_network(folder: Path, *nodes: onnx.NodeProto, weight=None) -> Path:
    """x `[1, 2]` → y `[1, 2]`; by default y = x·W."""
    weight = np.eye(2, dtype=np.float32) if weight is None else weight
    graph = helper.make_graph(
        list(nodes) or [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "f",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(weight, "w")],
    )
    path = folder / "tiny.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def refused(outcome, *expected: str) -> None:
    """The outcome is a refusal that says all of `expected`."""
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert "defect" not in outcome.err
    for words in expected:
        assert words in outcome.words


def test_the_tiny_query_is_answered(command, tmp_path):
    outcome = command("verify", tiny_property(tmp_path), "--network", tiny_network(tmp_path))
    assert (outcome.code, outcome.out) == (0, "unsat\n")


def test_a_missing_network_is_named(command):
    refused(command("verify", NEAR, "--network", "absent.onnx"), "absent.onnx")


def test_a_missing_property_is_named(command):
    refused(command("verify", "absent.vnnlib", "--network", MLP), "absent.vnnlib")


@pytest.mark.parametrize("kept", [0, 1, 100, 20_000])
def test_a_truncated_network_is_refused(command, tmp_path, kept):
    (tmp_path / "cut.onnx").write_bytes(MLP.read_bytes()[:kept])
    refused(command("verify", NEAR, "--network", tmp_path / "cut.onnx"), "cut.onnx")


def test_a_text_is_no_network(command):
    refused(command("verify", NEAR, "--network", NEAR), "near.vnnlib")


def test_a_network_is_no_property(command):
    refused(command("verify", MLP, "--network", MLP), "mlp.onnx")


@pytest.mark.parametrize(
    "words",
    [
        (MLP, "--network", NEAR),
        (MLP, NEAR),
        (MLP, NEAR, "--network", MLP),
        (MLP,),
    ],
    ids=["--network", "words", "both", "alone"],
)
@pytest.mark.parametrize("name", ["verify", "bounds"])
def test_a_network_in_the_place_of_the_property_is_told(command, name, words):
    prop = NEAR if NEAR in words else "SPEC.vnnlib"
    right = f"boundmesh {name} {prop} --network {MLP}"
    refused(command(name, *words), "mlp.onnx is a network", right)


@pytest.mark.parametrize("name", ["verify", "bounds"])
def test_a_network_without_its_option_is_told(command, name):
    outcome = command(name, NEAR, MLP)
    right = f"boundmesh {name} {NEAR} --network {MLP}"
    refused(outcome, "mlp.onnx is a network without --network", right)
    assert len(outcome.err.splitlines()) == 1


def test_a_property_in_the_place_of_the_network_is_told(command):
    refused(command("verify", NEAR, "--network", NEAR), "near.vnnlib, which is a property")


def test_a_word_too_many_is_named(command):
    refused(command("verify", NEAR, "superfluous", "--network", MLP), "'superfluous'")


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, ""])
def test_names_that_no_file_has_are_refused(command, name):
    refused(command("verify", name, "--network", MLP), "")
    refused(command("verify", NEAR, "--network", name), "")
    refused(command("bounds", NEAR, "--network", MLP, "--json", name), "")


def test_a_folder_is_no_network(command, tmp_path):
    refused(command("verify", NEAR, "--network", tmp_path), str(tmp_path))


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "{}", "--network", MLP],
        ["bench", "{}"],
        ["bounds", "--network", MLP, "--input", "{}", "--eps", "0.1"],
    ],
)
def test_a_folder_in_the_place_of_a_file_is_told(command, tmp_path, words):
    outcome = command(*(str(word).format(tmp_path) for word in words))
    refused(outcome, str(tmp_path), "folder")
    assert "Errno" not in outcome.err


def test_an_unsupported_operator_is_named_with_its_node(command, tmp_path):
    network = tiny_network(tmp_path, helper.make_node("Det", ["x"], ["y"], name="Det_12"))
    outcome = command("verify", tiny_property(tmp_path), "--network", network)
    refused(outcome, "Det", "Det_12", "supported")


def test_an_input_of_another_size_is_refused(command, tmp_path):
    outcome = command("verify", NEAR, "--network", tiny_network(tmp_path))
    refused(outcome, "near.vnnlib", "[1, 2]")


def test_a_variable_that_does_not_exist_is_named_with_its_line(command, tmp_path):
    spec = tiny_property(tmp_path, claim="Y[0,7] 1.0")
    outcome = command("verify", spec, "--network", tiny_network(tmp_path))
    refused(outcome, "tiny.vnnlib:8", "Y[0,7]")


def test_a_proof_without_a_bound_is_refused_with_the_variable(command, tmp_path):
    spec = tmp_path / "open.vnnlib"
    spec.write_text(tiny_property(tmp_path).read_text().replace("(<= X[0,0] 1.0)", ""))
    network = tiny_network(tmp_path)
    outcome = command("verify", spec, "--network", network)
    assert (outcome.code, outcome.out) == (0, "unknown\n")
    assert "X[0,0] has no upper bound" in outcome.words
    refused(command("bounds", spec, "--network", network), "X[0,0] has no upper bound")


def test_contradictory_bounds_are_unsat_with_a_warning(command, tmp_path):
    spec = tiny_property(tmp_path, low="2.0", claim="Y[0,0] 99.0")
    outcome = command("verify", spec, "--network", tiny_network(tmp_path))
    assert (outcome.code, outcome.out) == (0, "unsat\n")
    assert "warning" in outcome.words
    assert "empty" in outcome.words


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_no_number_is_refused(command, tmp_path, value):
    network = tiny_network(tmp_path, weight=np.array([[1, 0], [0, value]], np.float32))
    refused(command("verify", tiny_property(tmp_path), "--network", network), "NaN")


def test_a_network_whose_output_is_no_number_is_refused(command, tmp_path):
    network = tiny_network(
        tmp_path,
        helper.make_node("Sqrt", ["x"], ["root"]),
        helper.make_node("MatMul", ["root", "w"], ["y"]),
    )
    refused(command("verify", tiny_property(tmp_path), "--network", network), "NaN")


def test_an_overflowing_box_is_refused(command, tmp_path):
    spec = tiny_property(tmp_path, low="-1e999")
    refused(command("verify", spec, "--network", tiny_network(tmp_path)), "1e999")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_an_absent_gpu_is_refused(command, device):
    refused(command("verify", NEAR, "--network", MLP, "--device", device), device, "--device cpu")


def test_a_device_that_does_not_exist_is_refused(command):
    refused(command("verify", NEAR, "--network", MLP, "--device", "abacus"), "abacus")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 123 bytes"),
        MemoryError(),
    ],
    ids=["gpu", "cpu", "python"],
)
def test_too_little_memory_names_what_did_not_fit_and_what_to_do(command, monkeypatch, error):
    import boundmesh.api  # noqa: F401

    def full(*arguments, **options):
        raise error

    monkeypatch.setattr(sys.modules["boundmesh.bounds.methods.crown_ibp"], "crown", full)
    outcome = command("verify", NEAR, "--network", MLP)
    refused(outcome, "out of memory", "tile", "--tile-elements")


def test_an_unknown_arithmetic_is_refused(command, tmp_path):
    spec, network = tiny_property(tmp_path), tiny_network(tmp_path)
    for word in ("float8", "real+trust", "auto+real", ""):
        outcome = command("verify", spec, "--network", network, "--rounding", word)
        refused(outcome, "rounding is", "expected auto real float64")


def test_the_wrong_name_for_the_network_is_refused(command, tmp_path):
    spec, network = tiny_property(tmp_path), tiny_network(tmp_path)
    assert command("verify", spec, "--network", f"f={network}").out == "unsat\n"
    refused(command("verify", spec, "--network", f"g={network}"), "'f'", "'g'")


def test_two_networks_are_refused(command):
    refused(command("verify", NEAR, "--network", MLP, "--network", MLP), "twice without a name")


def test_no_network_is_refused(command):
    refused(command("verify", NEAR), "--network")


@pytest.mark.parametrize(
    "words",
    [
        ("--timeout", "-1"),
        ("--mesh", "shards=999999"),
        ("--mesh", "shards=0"),
        ("--mesh", "shards=" + "9" * 5000),
        ("--seed", "-3"),
        ("--threads", "1000000000"),
        ("--timeout", "nan"),
        ("--timeout", "soon"),
        ("--method", "magic"),
        ("--dtype", "float8"),
        ("--threads", "0"),
        ("--iterations", "-3"),
        ("--unheard-of",),
        ("--json", "absent-folder/result.json"),
        ("--result-file", "."),
    ],
    ids=" ".join,
)
def test_options_out_of_range_are_refused_by_name(command, words):
    refused(command("verify", NEAR, "--network", MLP, *words), words[0].lstrip("-"))


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (("x=²,2",), "expected the input's name and whole numbers"),
        (("x=1,١",), "expected the input's name and whole numbers"),
        (("x=1," + "9" * 5000,), "expected the input's name and whole numbers"),
        (("z=1,2",), "'z', which is no input; the inputs are x"),
        (("x=1,2", "x=1,3"), "given twice for x"),
    ],
)
@pytest.mark.parametrize("name", ["verify", "bounds", "supports"])
def test_shapes_that_no_input_can_have_are_refused(command, tmp_path, name, shapes, expected):
    spec, network = tiny_property(tmp_path), tiny_network(tmp_path)
    query = (network, spec) if name == "supports" else (spec, "--network", network)
    options = [word for shape in shapes for word in ("--shape", shape)]
    refused(command(name, *query, *options), expected)


def places_without_a_file(folder: Path) -> dict[str, str]:
    """Paths where no file can be made, by words of the error."""
    (folder / "file").write_text("x")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "dangling").symlink_to(folder / "absent" / "file")
    return {"file/x.json": "no folder", "loop": "symbolic links", "dangling": "no folder",
            "absent/x.json": "no folder", ".": "it is a folder"}  # fmt: skip


OUTPUTS = {
    "verify": ("--json", "--report", "--result-file"),
    "bounds": ("--json",),
    "plan": ("--json",),
    "certify": ("--csv", "--npz", "--json", "--report"),
    "bench": ("--out", "--json", "--report"),
}


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name, options in OUTPUTS.items() for option in options]
)
def test_a_result_that_cannot_be_written_is_refused_before_the_work(
    command, tmp_path, name, option
):
    (tmp_path / "list.csv").write_text("absent.onnx,absent.vnnlib,1\n")
    (tmp_path / "broken.onnx").write_bytes(b"broken")
    broken = tmp_path / "broken.onnx"
    words = {
        "verify": (NEAR, "--network", broken),
        "bounds": (NEAR, "--network", broken),
        "plan": (broken,),
        "certify": (broken, IMAGE, "--eps", 1),
        "bench": (tmp_path / "list.csv",),
    }
    for place, expected in places_without_a_file(tmp_path).items():
        outcome = command(name, *words[name], option, tmp_path / place)
        refused(outcome, f"{option}: cannot write", expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "which inputs"),
        ((NEAR, "--input", IMAGE, "--eps", 1), "give one of them"),
        (("--input", IMAGE), "--eps"),
        (("--input", "absent.npy", "--eps", 1), "absent.npy"),
        (("--input", MLP, "--eps", 1), "mlp.onnx"),
        (("--input", IMAGE, "--eps", 1, "--clip", "0"), "--clip"),
        (("--input", IMAGE, "--eps", 1, "--clip", "1,0"), "--clip"),
        (("--input", IMAGE, "--eps", 1, "--norm", "3"), "--norm"),
        ((NEAR, "--case", 1), "--case"),
    ],
    ids=str,
)
def test_unclear_regions_are_refused(command, words, expected):
    refused(command("bounds", *words, "--network", MLP), expected)


@pytest.mark.parametrize("point", [np.zeros(3), np.full((1, 1, 8, 8), np.nan)], ids=["3", "NaN"])
def test_a_point_that_does_not_fit_is_refused(command, tmp_path, point):
    np.save(tmp_path / "point.npy", point)
    outcome = command("bounds", "--input", tmp_path / "point.npy", "--eps", 1, "--network", MLP)
    refused(outcome, "NaN" if point.size > 3 else "3 inputs")


def test_an_unknown_capability_is_refused_with_the_known_ones(command):
    refused(command("supports", "--teleportation"), "--teleportation", "--onnx-operators")


def test_a_defect_is_no_verdict_and_has_the_code_of_an_error(command, monkeypatch):
    import boundmesh.api  # noqa: F401

    def broken(*arguments, **options):
        raise AssertionError("impossible")

    monkeypatch.setattr(sys.modules["boundmesh.bounds.methods.crown_ibp"], "crown", broken)
    outcome = command("verify", NEAR, "--network", MLP, "--exit-code")
    assert (outcome.code, outcome.out) == (2, "")
    assert "defect of boundmesh" in outcome.words


def interrupted(*arguments, **options):
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_while_deciding_is_unknown_with_what_was_reached(command, monkeypatch):
    import boundmesh.api  # noqa: F401

    monkeypatch.setattr(sys.modules["boundmesh.bounds.methods.crown_ibp"], "crown", interrupted)
    outcome = command("verify", NEAR, "--network", MLP)
    assert (outcome.code, outcome.out) == (130, "unknown\n")
    assert "Traceback" not in outcome.err
    assert "interrupted" in outcome.words


def test_an_interrupt_before_that_ends_without_a_verdict(command, monkeypatch):
    import boundmesh.api  # noqa: F401

    monkeypatch.setattr(sys.modules["boundmesh.read.onnx"], "load", interrupted)
    outcome = command("verify", NEAR, "--network", MLP)
    assert (outcome.code, outcome.out) == (130, "")
    assert "Traceback" not in outcome.err
    assert "interrupted during read" in outcome.words


@pytest.mark.parametrize(
    ("value", "name", "file"),
    [
        ("model.onnx", None, "model.onnx"),
        ("f=model.onnx", "f", "model.onnx"),
        ("my_net=a=b.onnx", "my_net", "a=b.onnx"),
        ("nets/lr=3/model.onnx", None, "nets/lr=3/model.onnx"),
    ],
)
def test_a_network_may_have_a_name(value, name, file):
    assert one_network([value]) == (name, Path(file))


def test_a_file_with_a_sign_in_its_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.onnx").touch()
    assert one_network(["a=b.onnx"]) == (None, Path("a=b.onnx"))


def test_no_network_at_all_is_an_error():
    with pytest.raises(BoundmeshError, match="0 times"):
        one_network([])


def test_a_list_with_an_endless_cell_is_refused(command, tmp_path):
    (tmp_path / "list.csv").write_text("net.onnx," + "x" * 200_000 + ",1\n")
    refused_list = command("bench", tmp_path / "list.csv")
    assert refused_list.code == 2 and "list.csv" in refused_list.words
    assert "Traceback" not in refused_list.err


@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may write everywhere")
def test_a_result_in_a_locked_folder_is_refused_before_the_work(command, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    (tmp_path / "own").write_text("")
    (tmp_path / "own").chmod(0o444)
    for file in (locked / "x.json", tmp_path / "own"):
        refused(command("verify", NEAR, "--network", MLP, "--json", file), "--json", "denied")
    (tmp_path / "list.csv").write_text(f"{MLP},{NEAR},60\n")
    outcome = command("bench", tmp_path / "list.csv", "--json-dir", locked / "new")
    refused(outcome, "--json-dir", "denied")


def test_a_folder_of_results_that_cannot_be_made_is_refused(command, tmp_path):
    (tmp_path / "list.csv").write_text(f"{MLP},{NEAR},60\n")
    (tmp_path / "file").write_text("x")
    outcome = command("bench", tmp_path / "list.csv", "--json-dir", tmp_path / "file" / "x")
    refused(outcome, "--json-dir: cannot make the folder")


def test_a_list_that_is_a_circle_of_links_is_refused(command, tmp_path):
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    refused(command("bench", tmp_path / "loop.csv"), "loop.csv", "symbolic links")


@pytest.mark.parametrize(
    "variables",
    [{"RANK": "7", "WORLD_SIZE": "2"}, {"RANK": "x", "WORLD_SIZE": "1"},
     {"RANK": "1", "WORLD_SIZE": "2"}, {"RANK": "0", "WORLD_SIZE": "2"},
     {"RANK": "-1", "WORLD_SIZE": "1"}, {"RANK": "0", "WORLD_SIZE": ""}],
    ids=str,
)  # fmt: skip
def test_variables_of_a_launcher_that_did_not_start_the_command_are_refused(variables):
    environment = {**os.environ, "PYTHONPATH": str(DIGITS.parents[1]), **variables}
    words = [sys.executable, "-m", "boundmesh", "verify", NEAR, "--network", MLP]
    outcome = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert "WORLD_SIZE" in outcome.stderr and "Traceback" not in outcome.stderr


def test_a_rank_without_a_number_of_ranks_is_the_only_process(command, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert command("verify", NEAR, "--network", MLP).out == "unsat\n"
