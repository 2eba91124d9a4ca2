"""Good and bad ONNX files."""

from __future__ import annotations

import gzip
import mmap

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from boundmesh.errors import BoundmeshError, ReadError
from boundmesh.graph.forward import tensor
from boundmesh.graph.passes.fold_affine import memory_mapped
from boundmesh.read.onnx import load, loads
from boundmesh.read.runtime import Runtime

WEIGHT = np.random.default_rng(0).normal(size=(4, 300)).astype(np.float32)


@pytest.fixture
def small(network) -> bytes:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Relu", ["p"], ["y"])]
    return network(nodes, {"x": ("N", 4)}, constants={"w": WEIGHT})


@pytest.fixture
def external(small, tmp_path):
    """A file whose weight lies in another file beside it."""
    path = tmp_path / "model.onnx"
    model = onnx.load_model_from_string(small)
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin",
                    size_threshold=0)  # fmt: skip
    return path


def owner(array: np.ndarray) -> object:
    base: object = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    return base.obj if isinstance(base, memoryview) else base


@pytest.mark.parametrize("name", ["net.onnx", "net.onnx.gz", "net"])
def test_plain_and_gzipped_files_load_alike(small, name, tmp_path, difference):
    path = tmp_path / name
    path.write_bytes(gzip.compress(small) if name.endswith("gz") else small)
    graph = load(path)
    assert graph.source == path
    assert load(str(path)).nodes == graph.nodes == loads(small).nodes
    assert difference(graph) < 1e-6


def test_external_data_stays_memory_mapped(external, difference):
    graph = load(external)
    (weight,) = graph.weights.values()
    assert isinstance(owner(weight), mmap.mmap) and memory_mapped(weight)
    assert weight.shape == (300, 4)
    # As a tensor it still is the file.
    assert tensor(weight).data_ptr() == weight.__array_interface__["data"][0]
    assert difference(graph) < 1e-6


def test_external_data_of_a_gzipped_network_is_found(external, difference):
    packed = external.with_suffix(".onnx.gz")
    packed.write_bytes(gzip.compress(external.read_bytes()))
    external.unlink()
    assert difference(load(packed)) < 1e-6


def test_a_memory_mapped_weight_is_not_scaled(external, network, tmp_path):
    model = onnx.load_model(external, load_external_data=False)
    model.graph.node[1].CopyFrom(helper.make_node("Mul", ["p", "c"], ["y"]))
    model.graph.initializer.append(numpy_helper.from_array(np.full(300, 2, np.float32), "c"))
    onnx.save_model(model, external)
    graph = load(external)
    assert [node.op for node in graph.nodes] == ["input", "linear", "scale"]
    assert memory_mapped(graph.weights["w"])


def test_external_data_must_be_there_and_whole(external):
    data = external.parent / "weights.bin"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(ReadError, match="weight 'w' cannot be read"):
        load(external)
    data.unlink()
    with pytest.raises(ReadError, match="weight 'w' cannot be read"):
        load(external)


def test_external_data_outside_of_the_folder_is_refused(external):
    model = onnx.load_model(external, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../weights.bin"
    external.write_bytes(model.SerializeToString())
    with pytest.raises(ReadError, match="weight 'w' cannot be read"):
        load(external)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(bad, network):
    weight = WEIGHT.copy()
    weight[2, 7] = bad
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    with pytest.raises(ReadError, match="weight 'w' holds NaN or infinity"):
        loads(network(nodes, {"x": (1, 4)}, constants={"w": weight}))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ReadError, match=r"nowhere\.onnx: there is no such file"):
        load(tmp_path / "nowhere.onnx")


def test_a_folder_is_no_network(tmp_path):
    with pytest.raises(ReadError, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello, world\n" * 9, b"\x1f\x8b broken", b"\0" * 64])
def test_a_file_that_is_not_onnx_is_refused(content, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ReadError, match=r"net\.onnx"):
        load(path)


def test_a_truncated_gzip_is_refused(small, tmp_path):
    path = tmp_path / "net.onnx.gz"
    path.write_bytes(gzip.compress(small)[:-20])
    with pytest.raises(ReadError, match="cannot be read"):
        load(path)


def test_every_truncation_is_refused_or_loads(small):
    for length in range(0, len(small), 7):
        try:
            graph = loads(small[:length])
        except BoundmeshError:
            continue
        assert graph.outputs


@given(st.data())
def test_a_damaged_file_gives_a_clear_error_or_a_network(data):
    content = bytearray(SMALLEST)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    try:
        graph = loads(bytes(content))
    except BoundmeshError:
        return
    assert graph.nodes


def smallest() -> bytes:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 0, 0]),
        helper.make_node("Flatten", ["c"], ["y"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", 1, ["N", 1, 3, 3])],
        [info("y", 1, None)],
        [numpy_helper.from_array(np.ones((1, 1, 2, 2), np.float32), "w")],
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


SMALLEST = smallest()


def test_nodes_may_stand_in_any_order(network, difference):
    nodes = [helper.make_node("Relu", ["p"], ["y"]), helper.make_node("Neg", ["x"], ["p"])]
    assert [node.op for node in loads(network(nodes, {"x": (4,)})).nodes] == [
        "input",
        "scale",
        "relu",
    ]


def test_a_cycle_is_refused(network):
    nodes = [helper.make_node("Add", ["x", "y"], ["p"]), helper.make_node("Relu", ["p"], ["y"])]
    with pytest.raises(ReadError):
        loads(network(nodes, {"x": (4,)}))


def test_a_value_that_no_node_makes_is_named(network):
    with pytest.raises(ReadError, match="'ghost'"):
        loads(network([helper.make_node("Add", ["x", "ghost"], ["y"])], {"x": (4,)}))


def test_a_network_without_free_inputs_is_refused(network):
    nodes = [helper.make_node("Relu", ["w"], ["y"])]
    with pytest.raises(ReadError, match="no input"):
        loads(network(nodes, {}, constants={"w": WEIGHT}))


def test_operands_that_do_not_fit_are_named(network):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    with pytest.raises(ReadError, match=r"'product' \(MatMul\).*\[1, 5\]"):
        loads(network(nodes, {"x": (1, 5)}, constants={"w": WEIGHT}))


def test_the_runtime_returns_what_the_graph_returns(small, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(small)
    y = Runtime(load(path))(np.ones(4))
    expected = torch.relu(torch.ones(4) @ torch.from_numpy(WEIGHT)).numpy()
    assert np.abs(y - expected).max() < 1e-5
