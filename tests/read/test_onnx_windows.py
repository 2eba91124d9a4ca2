"""Windows, slices and products at the edges of what ONNX defines."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from boundmesh.errors import UnsupportedError
from boundmesh.read.onnx import loads


def one(network, op, shape, *constants, opset=19, **attributes):
    names = [f"c{place}" for place in range(len(constants))]
    node = helper.make_node(op, ["x", *names], ["y"], **attributes)
    held = dict(zip(names, constants, strict=True))
    return network([node], {"x": shape}, constants=held, opset=opset)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_same_padding_of_pools_leaves_dilations_out(op, mode, network, difference):
    data = one(network, op, [1, 2, 9, 8], kernel_shape=[3, 2], dilations=[2, 3], auto_pad=mode)
    assert loads(data)["y"].shape == (1, 2, 7, 6)
    assert difference(loads(data)) < 1e-6


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_strides_above_the_kernel_with_same_padding_are_refused(op, network):
    data = one(network, op, [1, 1, 8], kernel_shape=[1], strides=[4], auto_pad="SAME_UPPER",
               ceil_mode=1)  # fmt: skip
    with pytest.raises(UnsupportedError, match=rf"'{op}' \(node 'y'\).* strides \[4\] skip more"):
        loads(data)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_windows_longer_than_their_axis_are_refused(op, network):
    data = one(network, op, [1, 1, 3], kernel_shape=[3], dilations=[2])
    with pytest.raises(UnsupportedError, match=rf"'{op}' \(node 'y'\).* 5 elements .* has 3"):
        loads(data)


def test_averages_of_padding_alone_are_refused(network):
    data = one(network, "AveragePool", [1, 1, 1], kernel_shape=[2], dilations=[2], pads=[1, 1])
    with pytest.raises(UnsupportedError, match="wholly on padding"):
        loads(data)


def test_a_strided_convolution_of_one_pixel_with_same_padding_is_read(network, difference):
    weight = np.ones((2, 3, 1, 1), np.float32)
    data = one(network, "Conv", [1, 3, 8, 9], weight, strides=[2, 2], auto_pad="SAME_UPPER")
    assert difference(loads(data)) < 1e-6
    data = one(network, "Conv", [1, 3, 8, 9], weight, strides=[4, 4], auto_pad="SAME_UPPER")
    with pytest.raises(UnsupportedError, match=r"'Conv' \(node 'y'\).* skip more"):
        loads(data)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_a_slice_backwards_from_before_the_first_element_starts_there(network, difference):
    data = one(network, "Slice", [4, 2], whole(-9), whole(-100), whole(0), whole(-1))
    assert loads(data)["y"].shape == (1, 2)
    assert difference(loads(data)) < 1e-6


def test_a_slice_without_elements_is_nothing(network, difference):
    nodes = [
        helper.make_node("Slice", ["x", "three", "one"], ["none"]),
        helper.make_node("Concat", ["none", "none"], ["nothing"], axis=0),
        helper.make_node("Concat", ["x", "nothing"], ["y"], axis=0),
    ]
    data = network(nodes, {"x": [4, 2]}, constants={"three": whole(3), "one": whole(1)})
    assert difference(loads(data)) == 0


def test_a_resize_to_no_elements_is_refused(network):
    scales = np.array([0.5, 1], np.float32)
    data = network([helper.make_node("Resize", ["x", "", "s"], ["y"])], {"x": [1, 3]},
                   constants={"s": scales})  # fmt: skip
    with pytest.raises(UnsupportedError, match=r"'Resize' \(node 'y'\).* \[0, 3\]"):
        loads(data)


def test_products_of_constants_and_of_vectors_with_stacks_are_read(network, difference):
    a, b = np.ones((2, 3), np.float32), np.full((3, 4), 0.5, np.float32)
    gemm = helper.make_node("Gemm", ["a", "b", "x"], ["y"])
    assert difference(loads(network([gemm], {"x": [4]}, constants={"a": a, "b": b}))) < 1e-6
    data = one(network, "MatMul", [3], np.ones((1, 1, 3, 2), np.float32))
    assert loads(data)["y"].shape == (1, 1, 2)
    assert difference(loads(data)) < 1e-6
