"""Transposed convolutions as a product and a sum of overlapping windows."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from boundmesh.operators import overlaps
from boundmesh.operators.node import Node

SHAPES = [
    # kernel, stride, dilation, padding, output padding, spatial
    ((3, 3), (1, 1), (1, 1), (1, 1), [0, 0], (5, 6)),
    ((3, 3), (2, 2), (1, 1), (1, 1), [1, 1], (4, 4)),
    ((2, 3), (2, 1), (1, 2), (0, 1), [0, 0], (3, 5)),
    ((4,), (2,), (1,), (1,), [0], (7,)),
]


@pytest.mark.parametrize("most", [1, 2**23], ids=["one at a time", "all at once"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_sum_is_torchs_transposed_convolution_in_no_more_memory(
    shape: tuple[tuple[int, ...], ...], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlaps, "MOST", most)
    kernel, stride, dilation, padding, more, spatial = shape
    torch.manual_seed(0)
    x, weight = torch.randn(3, 4, *spatial), torch.randn(4, 2, *kernel)
    node = Node("z", "conv", ("x",), (), attributes={"stride": stride, "dilation": dilation})
    found = overlaps.scatter_columns(node, x, weight, [*padding], [*more])
    convolve = functional.conv_transpose1d if len(kernel) == 1 else functional.conv_transpose2d
    expected = convolve(x, weight, None, stride, padding, [*more], 1, dilation)
    torch.testing.assert_close(found, expected)
    assert found.untyped_storage().nbytes() == found.nbytes
