"""Binarised networks of traffic signs: how tight bounds are, and what the attack and search decide.

    python benchmarks/sign_networks.py --size 30 48 64 --eps 1 3 --images 3

A network has convolutions with weights of ±1, each followed by a batch normalisation and a sign, as
those of VNN-COMP's traffic_signs_recognition: 43 classes, pixels 0 … 255 of shape 1×size×size×3.
Weights are random, and the normalisations are fitted to one smooth image for each class, as
training fits them. The last weights of a class are the signs that its image gives, so that the
network tells such images apart with margins like those of a trained one.

For each image and radius (in steps of 1/255) one JSON line has the width of the outputs' bounds and
the seconds of every method, the width that the attack's samples reach, the share of unstable signs
at each layer under CROWN, and the verdict of `verify` for the image's class.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn import functional

import boundmesh
from boundmesh import Box
from boundmesh.certify.single import keeps_label
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph

CLASSES = 43
LAYERS = {30: ((16, 3, 1), (32, 3, 2), (64, 3, 1)),
          48: ((16, 5, 2), (32, 5, 2), (64, 3, 1)),
          64: ((16, 5, 2), (32, 5, 2), (64, 3, 2))}  # fmt: skip
"""The channels, kernel length and pooling of each convolution, by image size."""
SAMPLES = 400


def smooth_images(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw images `[count, 3, size, size]` of 0 … 255: few large blobs and a little noise."""
    coarse = torch.rand(count, 3, 6, 6, generator=generator) * 255
    large = functional.interpolate(coarse, size=(size, size), mode="bicubic")
    noise = 4 * torch.randn(count, 3, size, size, generator=generator)
    return (large + noise).round().clamp(0, 255)


def network(size: int, seed: int) -> tuple[onnx.ModelProto, Tensor]:
    """Make a binarised network, and the image `[3, size, size]` of each class."""
    generator = torch.Generator().manual_seed(seed)
    nodes, weights = [], []

    def stored(name: str, value: Tensor) -> str:
        weights.append(numpy_helper.from_array(value.numpy().astype(np.float32), name))
        return name

    def normalise(name: str, value: Tensor, read: str) -> Tensor:
        """Add a batch normalisation that is fitted to a value, and return its result."""
        dims = [axis for axis in range(value.ndim) if axis != 1]
        scale = torch.empty(value.shape[1]).uniform_(0.5, 1.5, generator=generator)
        shift = 0.3 * torch.randn(value.shape[1], generator=generator)
        mean, variance = value.mean(dims), value.var(dims, correction=0) + 1e-3
        given = {"scale": scale, "shift": shift, "mean": mean, "variance": variance}
        names = [stored(f"{name}_{part}", each) for part, each in given.items()]
        nodes.append(helper.make_node("BatchNormalization", [read, *names], [name], epsilon=1e-3))
        return functional.batch_norm(value, mean, variance, scale, shift, eps=1e-3)

    nodes.append(helper.make_node("Transpose", ["x"], ["image"], perm=[0, 3, 1, 2]))
    images = smooth_images(CLASSES, size, generator)
    value, read = images, "image"
    for place, (channels, kernel, pooled) in enumerate(LAYERS[size]):
        shape = (channels, value.shape[1], kernel, kernel)
        weight = torch.randint(0, 2, shape, generator=generator) * 2.0 - 1
        name = stored(f"weight{place}", weight)
        nodes.append(helper.make_node("Conv", [read, name], [f"conv{place}"]))
        value, read = functional.conv2d(value, weight), f"conv{place}"
        if pooled > 1:
            both, name = [pooled] * 2, f"pool{place}"
            nodes.append(
                helper.make_node("MaxPool", [read], [name], kernel_shape=both, strides=both)
            )
            value, read = functional.max_pool2d(value, pooled), f"pool{place}"
        value = normalise(f"norm{place}", value, read).sign()
        nodes.append(helper.make_node("Sign", [f"norm{place}"], [f"sign{place}"]))
        read = f"sign{place}"
    nodes.append(helper.make_node("Flatten", [read], ["flat"]))
    flat = value.flatten(1)
    last = torch.where(flat.mT >= 0, 1.0, -1.0)
    nodes.append(helper.make_node("MatMul", ["flat", stored("last", last)], ["scores"]))
    normalise("y", flat @ last, "scores")
    ends = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, size, size, 3])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, CLASSES])
    graph = helper.make_graph(nodes, "signs", [ends], [out], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model, images


@torch.no_grad()
def sampled(graph: Graph, box: Box, generator: torch.Generator) -> np.ndarray:
    """Compute the outputs `[SAMPLES, classes]` at random corners of a box, in patches and alone."""
    lower, upper = (torch.from_numpy(end).float().flatten() for end in (box.lower, box.upper))
    shape = graph[graph.input].shape
    found = []
    for side in (1, 3, shape[1]):
        coarse = (SAMPLES // 3, 3, -(-shape[1] // side), -(-shape[2] // side))
        drawn = torch.rand(coarse, generator=generator) < 0.5
        high = drawn.repeat_interleave(side, 2).repeat_interleave(side, 3)
        high = high[:, :, : shape[1], : shape[2]].permute(0, 2, 3, 1).flatten(1)
        points = torch.where(high, upper, lower).reshape(-1, *shape)
        found.append(forward(graph, tensors(graph), points).flatten(1).double().numpy())
    return np.concatenate(found)


def measure(
    file: Path, size: int, images: Tensor, options: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """Bound and decide every image of one network at every radius."""
    graph = boundmesh.load(file)
    generator = torch.Generator().manual_seed(options.seed + 1)
    noise = 8 * torch.randn(options.images, *images.shape[1:], generator=generator)
    chosen = (images[: options.images] + noise).round().clamp(0, 255)
    for place, x in enumerate(chosen.permute(0, 2, 3, 1).unsqueeze(1).double().numpy()):
        label = int(forward(graph, tensors(graph), torch.from_numpy(x).float()).argmax())
        for eps in options.eps:
            box = Box(x - eps, x + eps)
            outputs = sampled(graph, box, generator)
            line: dict[str, object] = {"size": size, "image": place, "eps": f"{eps:g}/255"}
            line["sampled"] = round(float((outputs.max(0) - outputs.min(0)).mean()), 2)
            for method in options.method:
                start = time.perf_counter()
                found = boundmesh.bounds(graph, box, method=method, iterations=options.iterations)
                line[f"{method} s"] = round(time.perf_counter() - start, 1)
                line[method] = round(float((found.upper - found.lower).mean()), 2)
                outside = (outputs < found.lower - 1e-3) | (outputs > found.upper + 1e-3)
                assert not outside.any(), f"samples lie outside of the bounds of {method}"
                if method == "crown":
                    line["unstable"] = {
                        name: f"{few / many:.1%}" for name, (few, many) in found.unstable.items()
                    }
            if options.timeout:
                property = keeps_label(graph, x, eps, label)
                start = time.perf_counter()
                result = boundmesh.verify(graph, property, timeout=options.timeout)
                line["verdict"] = result.verdict.word
                line["verify s"] = round(time.perf_counter() - start, 1)
            yield line


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", type=int, nargs="+", default=[30], choices=sorted(LAYERS))
    parser.add_argument("--eps", type=float, nargs="+", default=[1, 3], help="in steps of 1/255")
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--method", nargs="*", default=["ibp", "crown"])
    parser.add_argument("--iterations", type=int, default=5, help="steps of α-CROWN")
    parser.add_argument("--timeout", type=float, default=20, help="seconds of verify; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for size in options.size:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "signs.onnx"
            model, images = network(size, options.seed)
            onnx.save(model, file)
            for line in measure(file, size, images, options):
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
