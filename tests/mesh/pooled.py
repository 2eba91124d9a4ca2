"""Networks with pooling, groups, transposes and joined values."""

from __future__ import annotations

import numpy as np

from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators.node import Node


def pooling_net(seed: int = 0) -> Graph:
    """Convolution, max pooling, transposed convolution, average pooling, global average, linear."""
    rng, build = np.random.default_rng(seed), Builder()
    x = build.input((1, 2, 8, 6))
    x = build.add("relu", convolve(build, rng, x, 6, 3))
    x = build.add(
        "max_pool", x, kernel=(3, 2), stride=(2, 2), dilation=(1, 1), padding=((1, 0), (0, 0))
    )
    x = build.add(
        "conv_transpose",
        x,
        weights=(rng.normal(size=(6, 5, 2, 2)) / 3, rng.normal(size=5)),
        stride=(2, 2),
        dilation=(1, 1),
        padding=((0, 0), (0, 0)),
        output_padding=(0, 0),
        groups=1,
    )
    x = build.add("leaky_relu", x, slope=0.1)
    x = convolve(build, rng, x, 5, 2, stride=2, groups=5)
    x = build.add("scale", build.add("sum", x, axes=(2, 3)), weights=(rng.normal(size=(5, 1, 1)),))
    x = build.add("shift", build.reshape(x, (1, 5)), weights=(rng.normal(size=(1, 5)),))
    return finish(build, rng, build.add("relu", x), 3)


def mixing_net(seed: int = 0) -> Graph:
    """Concatenation, transposes, slices, padding and a product of matrices of bounded values."""
    rng, build = np.random.default_rng(seed), Builder()
    x = build.input((1, 6))
    a = build.add("relu", linear(build, rng, x, 12))
    b = build.add("tanh", linear(build, rng, x, 12))
    joined = build.add("concat", a, b, axis=1)
    c = build.add("relu", linear(build, rng, joined, 12))
    c = build.add("transpose", build.reshape(c, (1, 4, 3)), perm=(0, 2, 1))
    d = build.add("pad", build.reshape(b, (1, 4, 3)), padding=((0, 0), (0, 0), (1, 0)), value=0.5)
    d = build.add("slice", d, ranges=((0, 1, 1), (0, 4, 2), (0, 4, 2)))
    e = build.add("matmul", build.add("slice", c, ranges=((0, 1, 1), (0, 3, 1), (0, 2, 1))), d)
    # A linear layer on the last axis of a matrix.
    e = build.add("relu", linear(build, rng, e, 4))
    e = build.add("subtract", e, build.add("expand", build.add("sum", e, axes=(2,)), shape=e.shape))
    return finish(build, rng, build.reshape(e, (1, 12)), 3)


def convolve(
    build: Builder,
    rng: np.random.Generator,
    x: Node,
    out: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
) -> Node:
    before = (kernel - 1) // 2
    weight = rng.normal(size=(out, x.shape[1] // groups, kernel, kernel)) / kernel
    return build.add(
        "conv",
        x,
        weights=(weight, rng.normal(size=out)),
        stride=(stride, stride),
        dilation=(1, 1),
        padding=((before, kernel - 1 - before if stride == 1 else 0),) * 2,
        groups=groups,
    )


def linear(build: Builder, rng: np.random.Generator, x: Node, out: int) -> Node:
    weight = rng.normal(size=(out, x.shape[-1])) / np.sqrt(x.shape[-1])
    return build.add("linear", x, weights=(weight, rng.normal(size=out)))


def finish(build: Builder, rng: np.random.Generator, x: Node, outputs: int) -> Graph:
    output = linear(build, rng, x, outputs)
    first = next(node for node in build.nodes.values() if node.op == "input")
    ports = (Port("x", first.shape, "float64"),), (Port("y", output.shape, "float64"),)
    nodes = tuple(build.nodes.values())
    return Graph(nodes, first.name, output.name, build.weights, *ports)
