"""Small random networks that tests of bounds and of branch and bound share."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import BoxRegion, Region
from boundmesh.graph.build import Builder
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators.node import Node
from boundmesh.read.translate.arithmetic import clip

DTYPE = torch.float64


def mlp(*sizes: int, seed: int = 0, activation: str = "relu") -> Graph:
    """A chain of linear layers of `sizes` with an activation between them."""
    rng = np.random.default_rng(seed)
    build = Builder()
    x = build.input((1, sizes[0]))
    for place, (wide, out) in enumerate(itertools.pairwise(sizes)):
        x = build.add("linear", x, weights=_affine(rng, (out, wide), wide))
        if place < len(sizes) - 2:
            x = build.add(activation, x)
    return finished(build, x)


def conv_net(seed: int = 0) -> Graph:
    """Two convolutions of odd sizes and two linear layers."""
    rng = np.random.default_rng(seed)
    build = Builder()
    x = build.input((1, 2, 7, 5))
    x = build.add("relu", _conv(build, rng, x, 5, 3, 2, 1))
    x = build.add("relu", _conv(build, rng, x, 3, 3, 1, 1))
    x = build.reshape(x, (1, int(np.prod(x.shape))))
    x = build.add("linear", x, weights=_affine(rng, (9, x.shape[1]), x.shape[1]))
    x = build.add("linear", build.add("relu", x), weights=_affine(rng, (3, 9), 9))
    return finished(build, x)


def resnet(seed: int = 0) -> Graph:
    """A residual block whose skip has a convolution, another whose skip has none."""
    rng = np.random.default_rng(seed)
    build = Builder()
    x = build.input((1, 3, 6, 6))
    x = build.add("relu", _conv(build, rng, x, 4, 3, 2, 1))
    y = build.add("relu", _conv(build, rng, x, 7, 3, 1, 1))
    x = build.add("add", _conv(build, rng, y, 7, 3, 1, 1), _conv(build, rng, x, 7, 1, 1, 0))
    x = build.add("relu", x)
    x = build.add("relu", build.add("add", _conv(build, rng, x, 7, 3, 1, 1), x))
    x = build.reshape(x, (1, int(np.prod(x.shape))))
    return finished(
        build, build.add("linear", x, weights=_affine(rng, (4, x.shape[1]), x.shape[1]))
    )


def maps(seed: int, activation: str = "relu", axes: int = 2) -> Graph:
    """Convolutions of every kind, whose windows stay below the maps for a few layers.

    There are a strided residual block with a skip of its own, one without, a map that is scaled and
    shifted, groups, dilation, and padding of one side.
    """
    rng = np.random.default_rng(seed)
    build = Builder()
    length = {1: 33, 2: 11, 3: 6}[axes]
    x = build.input((1, 2, *(length + axis for axis in range(axes))))

    def conv(y: Node, out: int, kernel: int, stride: int = 1, pad: tuple[int, int] = (1, 1),
             dilation: int = 1, groups: int = 1) -> Node:  # fmt: skip
        wide = y.shape[1] // groups
        weight = rng.normal(size=(out, wide, *(kernel,) * axes)) / np.sqrt(wide * kernel**axes)
        return build.add(
            "conv", y, weights=(weight, 0.1 * rng.normal(size=out)),
            stride=(stride,) * axes, dilation=(dilation,) * axes, padding=(pad,) * axes,
            groups=groups,
        )  # fmt: skip

    x = build.add(activation, conv(x, 4, 3))
    y = build.add(activation, conv(x, 4, 3, stride=2, groups=2))
    y = build.add("shift", y, weights=(0.1 * rng.normal(size=(4, *(1,) * axes)),))
    x = build.add("add", conv(y, 4, 3), conv(x, 4, 1, stride=2, pad=(0, 0)))
    x = build.add(activation, build.add("scale", x, weights=(1 + rng.random((4, *(1,) * axes)),)))
    y = conv(build.add(activation, conv(x, 6, 2, pad=(0, 1))), 4, 3, dilation=2, pad=(2, 2))
    x = build.add(activation, build.add("subtract", y, x))
    x = build.reshape(x, (1, int(np.prod(x.shape))))
    weight = rng.normal(size=(3, x.shape[1])) / np.sqrt(x.shape[1])
    x = build.add("linear", x, weights=(weight,))
    return finished(build, x)


def pooled_maps(seed: int = 0) -> Graph:
    """Max pooling with windows that overlap and reach over the ends, between convolutions."""
    rng = np.random.default_rng(seed)
    build = Builder()
    x = build.input((1, 2, 12, 11))
    x = build.add("relu", _conv(build, rng, x, 3, 3, 1, 1))
    x = build.add(
        "max_pool", x, kernel=(3, 3), stride=(2, 2), dilation=(1, 1), padding=((1, 1), (1, 0))
    )
    y = build.add("relu", _conv(build, rng, x, 3, 3, 1, 1))
    x = build.add("relu", build.add("add", _conv(build, rng, y, 3, 3, 1, 1), x))
    x = build.add(
        "max_pool", x, kernel=(2, 2), stride=(1, 1), dilation=(1, 1), padding=((0, 0), (0, 0))
    )
    x = build.add("relu", _conv(build, rng, x, 4, 2, 2, 0))
    x = build.reshape(x, (1, int(np.prod(x.shape))))
    return finished(
        build, build.add("linear", x, weights=_affine(rng, (3, x.shape[1]), x.shape[1]))
    )


def encoder_decoder(seed: int = 0, activation: str = "relu") -> Graph:
    """A map that is made smaller and larger again: strides, skips that are cropped and joined."""
    rng = np.random.default_rng(seed)
    build = Builder()
    x = build.input((1, 2, 12, 10))
    skip = build.add(activation, _conv(build, rng, x, 4, 3, 1, 1))
    x = build.add(activation, _conv(build, rng, skip, 6, 3, 2, 1))
    x = build.add(
        "conv_transpose", x, weights=(rng.normal(size=(6, 4, 3, 3)) / 6, rng.normal(size=4) / 5),
        stride=(2, 2), dilation=(1, 1), padding=((1, 1), (1, 1)), output_padding=(1, 1), groups=1,
    )  # fmt: skip
    x = build.add(activation, build.add("concat", x, skip, axis=1))
    x = build.add("slice", x, ranges=((0, 1, 1), (0, 8, 1), (1, 11, 1), (1, 9, 1)))
    x = build.add(activation, _conv(build, rng, x, 3, 2, 2, 0))
    for axis, length in ((2, x.shape[2]), (3, x.shape[3])):
        index = tuple(place // 2 for place in range(2 * length))
        x = build.add("gather", x, axis=axis, index=index)
    x = build.add("pad", x, padding=((0, 0), (0, 0), (1, 1), (1, 1)), value=0.3)
    x = build.add("add", _conv(build, rng, x, 4, 3, 1, 1), skip)
    x = _conv(build, rng, build.add(activation, x), 2, 3, 3, 0)
    x = build.add(activation, x)
    x = build.reshape(x, (1, int(np.prod(x.shape))))
    return finished(
        build, build.add("linear", x, weights=_affine(rng, (3, x.shape[1]), x.shape[1]))
    )


def smooth_net(seed: int = 0) -> Graph:
    """Sigmoid and tanh layers, and a product of two of their values."""
    rng = np.random.default_rng(seed)
    build = Builder()
    x = build.input((1, 3))
    a = build.add("sigmoid", build.add("linear", x, weights=_affine(rng, (6, 3), 1)))
    b = build.add("tanh", build.add("linear", x, weights=_affine(rng, (6, 3), 1)))
    x = build.add("multiply", a, b)
    return finished(build, build.add("linear", x, weights=_affine(rng, (2, 6), 6)))


def clipped_net(seed: int = 0, each: bool = True) -> Graph:
    """Two layers of clipped neurons, with limits of their own or one limit for all."""
    rng = np.random.default_rng(seed)
    build = Builder()
    x = build.input((1, 3))
    for wide, out in ((3, 8), (8, 8)):
        x = build.add("linear", x, weights=(rng.normal(size=(out, wide)), rng.normal(size=out)))
        low = rng.uniform(-1.5, 0.5, out) if each else np.asarray(-0.6)
        high = rng.uniform(0.6, 1.5, out) if each else np.asarray(0.9)
        x = clip(build, x, low, high)
    y = build.add("linear", x, weights=(rng.normal(size=(2, 8)), rng.normal(size=2)))
    return finished(build, y)


def attention_net(seed: int = 0) -> Graph:
    """Attention with two heads, a residual, and two linear layers with GELU between them."""
    rng = np.random.default_rng(seed)
    build = Builder()
    x = build.input((1, 3, 4))

    def linear(value: Node, out: int) -> Node:
        return build.add("linear", value, weights=_affine(rng, (out, value.shape[-1]), 16))

    def heads(perm: tuple[int, ...]) -> Node:
        return build.add("transpose", build.reshape(linear(x, 4), (1, 3, 2, 2)), perm=perm)

    scores = build.add("matmul", heads((0, 2, 1, 3)), heads((0, 2, 3, 1)))
    mixed = build.add("matmul", build.add("softmax", scores, axis=3), heads((0, 2, 1, 3)))
    mixed = build.reshape(build.add("transpose", mixed, perm=(0, 2, 1, 3)), (1, 3, 4))
    x = build.add("add", linear(mixed, 4), x)
    x = build.add("add", linear(build.add("gelu", linear(x, 6)), 4), x)
    return finished(build, linear(build.reshape(x, (1, 12)), 3))


def divided_net(seed: int = 0) -> Graph:
    """A layer that is divided by the root of its mean square, and clipped."""
    rng = np.random.default_rng(seed)
    build = Builder()
    x = build.add("linear", build.input((1, 3)), weights=_affine(rng, (5, 3), 3))
    square = build.add("power", x, exponent=2.0)
    mean = build.add("scale", build.add("sum", square, axes=(1,)), weights=(np.asarray(0.2),))
    root = build.add("sqrt", build.add("shift", mean, weights=(np.asarray(0.5),)))
    factor = build.broadcast(build.add("reciprocal", root), (1, 5))
    x = clip(build, build.add("multiply", x, factor), np.full(5, -0.6), rng.uniform(0.2, 0.9, 5))
    return finished(build, build.add("linear", x, weights=_affine(rng, (2, 5), 5)))


NETWORKS: dict[str, Callable[[int], Graph]] = {
    "mlp": lambda seed: mlp(4, 9, 7, 3, seed=seed),
    "leaky": lambda seed: mlp(3, 8, 8, 2, seed=seed, activation="leaky_relu"),
    "conv": conv_net,
    "resnet": resnet,
    "smooth": smooth_net,
    "clipped": clipped_net,
}


def region(graph: Graph, radius: float, seed: int = 0, domains: int = 1) -> BoxRegion:
    """Boxes around random points."""
    generator = torch.Generator().manual_seed(seed)
    shape = (domains, *graph[graph.input].shape)
    center = torch.randn(shape, generator=generator, dtype=DTYPE)
    width = radius * torch.rand(shape, generator=generator, dtype=DTYPE)
    return BoxRegion(center - width, center + width)


def problem(graph: Graph, where: Region, tile_elements: int = 2**22) -> Problem:
    layout = OneDevice(graph, "cpu", DTYPE)
    return Problem(Program(graph, graph.output), where, layout, tile_elements)


def sampled(graph: Graph, box: BoxRegion, count: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Points of every box and the outputs there, `[D, count, *]`; half of them are corners."""
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand((box.domains, count, *box.lower.shape[1:]), generator=generator, dtype=DTYPE)
    share[:, : count // 2] = share[:, : count // 2].round()
    x = box.lower[:, None] + share * (box.upper - box.lower)[:, None]
    y = forward(graph, tensors(graph, DTYPE), x.flatten(0, 1))
    return x, y.reshape(box.domains, count, *graph[graph.output].shape)


def both_ways(graph: Graph) -> Tensor:
    """Rows for the lower and the upper bound of every output, `[1, 2·outputs, *shape]`."""
    node = graph[graph.output]
    eye = torch.eye(node.size, dtype=DTYPE)
    return torch.cat([eye, -eye]).reshape(1, -1, *node.shape)


def _conv(
    build: Builder, rng: np.random.Generator, x: Node, out: int, kernel: int, stride: int, pad: int
) -> Node:
    wide = x.shape[1]
    return build.add(
        "conv",
        x,
        weights=_affine(rng, (out, wide, kernel, kernel), wide * kernel * kernel),
        stride=(stride, stride),
        dilation=(1, 1),
        padding=((pad, pad), (pad, pad)),
        groups=1,
    )


def _affine(rng: np.random.Generator, shape: tuple[int, ...], fan: int) -> tuple[np.ndarray, ...]:
    weight = rng.normal(size=shape) * np.sqrt(2 / fan)
    return weight, 0.3 * rng.normal(size=shape[0])


def finished(build: Builder, output: Node) -> Graph:
    (first,) = (node for node in build.nodes.values() if node.op == "input")
    return Graph(
        tuple(build.nodes.values()),
        first.name,
        output.name,
        build.weights,
        (Port(first.name, first.shape, "float64"),),
        (Port(output.name, output.shape, "float64"),),
    )
