"""What cannot fit into memory is refused before it takes any, and by name."""

from __future__ import annotations

import gzip
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from boundmesh.errors import BoundmeshError, DeviceError, ReadError
from boundmesh.read import vnnlib
from boundmesh.read.onnx import load, loads
from boundmesh.runtime.memory import host_bytes

MUCH = 3 * 10**12
"""Elements that no machine holds."""
SIDE = 1_800_000


def network(*nodes: onnx.NodeProto, image: bool = False, **weights: list) -> bytes:
    """x → y, of any shape, with the weights: whole numbers as int64, others as float32."""
    shape = [1, 1, 4, 4] if image else [1, 2]
    arrays = (
        (name, np.array(value, np.float32 if "." in str(value) else np.int64))
        for name, value in weights.items()
    )
    graph = helper.make_graph(
        nodes,
        "f",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def node(op: str, operands: str, result: str = "y", **attributes) -> onnx.NodeProto:
    return helper.make_node(op, operands.split(" "), [result], name=f"the {op}", **attributes)


ADD = helper.make_node("Add", ["x", "d"], ["y"])
KERNEL = [[[[1.5]]]]
LARGE = {
    "Expand": network(node("Expand", "x s"), s=[MUCH, 2]),
    "Expand of a constant": network(node("Expand", "c s", "d"), ADD, c=[1.5], s=[MUCH, 2]),
    "ConstantOfShape": network(node("ConstantOfShape", "s", "d"), ADD, s=[MUCH, 2]),
    "ConstantOfShape of what is computed": network(
        helper.make_node("Mul", ["s", "s"], ["t"]), node("ConstantOfShape", "t", "d"), ADD,
        s=[SIDE, 2],
    ),
    "Tile": network(node("Tile", "x r"), r=[1, MUCH]),
    "Tile of a constant": network(node("Tile", "c r", "d"), ADD, c=[[1.5, 2.5]], r=[1, MUCH]),
    "Range": network(node("Range", "a b s", "d"), ADD, a=0.5, b=1e12, s=1.0),
    "Pad": network(node("Pad", "x p"), p=[0, 0, 0, MUCH]),
    "Pad by edges": network(node("Pad", "x p", mode="edge"), p=[0, 0, 0, MUCH]),
    "Conv": network(node("Conv", "x w", pads=[SIDE] * 4), image=True, w=KERNEL),
    "ConvTranspose": network(
        node("ConvTranspose", "x w", strides=[SIDE, SIDE]), image=True, w=KERNEL
    ),
    "Resize": network(node("Resize", "x   z"), image=True, z=[1, 1, SIDE, SIDE]),
}  # fmt: skip


@pytest.mark.parametrize("kind", LARGE)
def test_a_node_whose_result_cannot_fit_is_named_with_what_it_takes(kind: str) -> None:
    op = kind.split()[0]
    with pytest.raises(DeviceError, match=rf"'the {op}' \({op}\).*GiB.*GiB are available"):
        loads(LARGE[kind])


def test_a_result_just_beyond_the_memory_there_is_is_refused_and_a_small_one_is_read() -> None:
    there = host_bytes()
    assert there is not None
    with pytest.raises(DeviceError, match="available"):
        loads(network(node("Expand", "x s"), s=[there // 8, 2]))
    assert loads(network(node("Expand", "x s"), s=[1000, 2])).outputs[0].shape == (1000, 2)


def bomb(path: Path, start: bytes, count: int) -> Path:
    """`count` MiB of blanks after `start`, packed."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(count):
            file.write(b" " * 2**20)
    return path


@pytest.mark.parametrize("name", ["bomb.onnx.gz", "bomb.vnnlib.gz"])
def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path: Path, name: str) -> None:
    file = bomb(tmp_path / name, b"", 200)
    with pytest.raises(ReadError, match=f"{name}: unpacks to"):
        load(file) if "onnx" in name else vnnlib.read(file)


def test_packed_files_are_read_as_before(tmp_path: Path) -> None:
    text = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (<= X_0 1))"
    file = bomb(tmp_path / "padded.vnnlib.gz", text.encode(), 1)
    assert len(vnnlib.read(file).assertions) == 1
    parts = [gzip.compress(part.encode()) for part in (text[:30], text[30:])]
    (tmp_path / "parts.vnnlib.gz").write_bytes(b"".join(parts))
    assert len(vnnlib.read(tmp_path / "parts.vnnlib.gz").assertions) == 1


@pytest.mark.parametrize("kept", [3, 12, 40, -1])
def test_a_packed_file_that_is_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    file = tmp_path / "cut.vnnlib.gz"
    file.write_bytes(gzip.compress(b"(declare-const X_0 Real)" * 9)[:kept])
    with pytest.raises(ReadError, match=r"cut\.vnnlib\.gz"):
        vnnlib.read(file)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_the_memory_there_is_obeys_a_limit_of_the_process() -> None:
    code = (
        "import resource; from boundmesh.runtime.memory import host_bytes\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({2**30}, {2**30})); print(host_bytes())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(said.stdout) < 2**30


def test_the_memory_there_is_is_no_more_than_the_machine_has() -> None:
    there = host_bytes()
    assert there is not None and there > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_data_outside_of_the_networks_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(b"\0" * 8)
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1, 2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    model = onnx.load_model_from_string(
        network(helper.make_node("Add", ["x", "c"], ["y"]), c=[[1.5, 2.5]])
    )
    model.graph.initializer[0].CopyFrom(tensor)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BoundmeshError, match=r"net\.onnx"):
        load(tmp_path / "inner" / "net.onnx")


def test_a_cycle_is_refused() -> None:
    cycle = network(
        helper.make_node("Add", ["x", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
    )
    with pytest.raises(ReadError, match="order"):
        loads(cycle)


def test_brackets_may_nest_deeply_and_numbers_must_fit(tmp_path: Path) -> None:
    declared = "(declare-const X_0 Real)(declare-const Y_0 Real)"
    deep = tmp_path / "deep.vnnlib"
    deep.write_text(declared + "(assert " + "(and " * 200_000 + "(<= X_0 1)" + ")" * 200_001)
    assert len(vnnlib.read(deep).assertions) == 1
    for number in ("1e999", "9" * 400, "1e" + "9" * 30):
        (tmp_path / "far.vnnlib").write_text(f"{declared}(assert (<= X_0 {number}))")
        with pytest.raises(BoundmeshError, match=r"far\.vnnlib"):
            vnnlib.read(tmp_path / "far.vnnlib")


FREED_AGAIN = """
import resource
from boundmesh.runtime.memory import keep_freed_memory
keeps = {keeps} and keep_freed_memory()
for _ in range(10):
    parts = [b"x" * 2**24 for _ in range(8)]
    del parts
print(keeps, resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def test_freed_memory_is_used_again_without_new_pages() -> None:
    def pages(keeps: bool) -> int:
        command = [sys.executable, "-c", FREED_AGAIN.format(keeps=keeps)]
        known, count = subprocess.run(
            command, check=True, capture_output=True, text=True
        ).stdout.split()
        if keeps and known == "False":
            pytest.skip("the C library is not glibc, which alone is set to keep memory")
        return int(count)

    assert pages(keeps=True) < pages(keeps=False) / 2
