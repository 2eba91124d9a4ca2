"""A Graph in words."""

from __future__ import annotations

import numpy as np

from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.graph import Port
from boundmesh.graph.show import show


def test_every_node_stands_on_its_line_with_operands_weights_and_shape():
    build = Builder()
    x = build.input((1, 4), "x")
    build.scope = "layer"
    y = build.add("linear", x, weights=(Constant("w", np.ones((3, 4), np.float32)),))
    z = build.add("gather", y, axis=1, index=tuple(range(3)) * 30)
    lines = show(build.graph(z, (Port("x", (1, 4)),), (Port("z", (1, 90)),))).splitlines()
    assert len(lines) == 4
    assert lines[1].split() == ["layer:linear", "linear(x;", "w)", "1×3"]
    assert lines[2].endswith("…  1×90") and "axis=1 index=(0, 1, 2, 0" in lines[2]
    assert lines[3] == "3 nodes, weights 0.0 MiB, output 'layer:gather'"
