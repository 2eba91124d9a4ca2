"""Mean widths of bounds on the difference of twin networks, jointly and apart.

    python benchmarks/twins.py

The second network of each pair is the first one with a random number of the given size added to
each weight, or with weights rounded to multiples of 1/64. The inputs are a box around a random
point. "sampled" is the width that 2000 points of the box reach.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

import boundmesh
from boundmesh.graph.forward import forward, tensors
from boundmesh.graph.graph import Graph, Subnetwork
from boundmesh.read.joined import joined
from boundmesh.read.twins import with_sums


def mlp(activation: type[nn.Module]) -> tuple[nn.Module, tuple[int, ...], float]:
    layers: list[nn.Module] = []
    for wide, out in ((8, 64), (64, 64), (64, 64)):
        layers += [nn.Linear(wide, out), activation()]
    return nn.Sequential(*layers, nn.Linear(64, 4)), (1, 8), 0.3


def convolutional() -> tuple[nn.Module, tuple[int, ...], float]:
    layers = (
        *(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1)),
        *(nn.ReLU(), nn.Flatten(), nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 4)),
    )
    return nn.Sequential(*layers).eval(), (1, 1, 16, 16), 0.05


NETWORKS: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...], float]]] = {
    "MLP 3×64, ReLU": lambda: mlp(nn.ReLU),
    "MLP 3×64, tanh": lambda: mlp(nn.Tanh),
    "convolutions, ReLU": convolutional,
}
CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "10⁻³ added": lambda weight: weight + 1e-3 * torch.randn_like(weight),
    "rounded to 1/64": lambda weight: (weight * 64).round() / 64,
}


def changed(module: nn.Module, change: Callable[[Tensor], Tensor]) -> nn.Module:
    other = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.copy_(change(parameter))
    return other


def pair(one: Graph, two: Graph) -> Graph:
    """Return both networks on one input, extended by the differences of their outputs."""
    size, outputs = one[one.input].size, one[one.output].size
    parts = [Subnetwork(graph, tuple(range(size))) for graph in (one, two)]
    sums = [
        ((j, Fraction(-sign)), (outputs + j, Fraction(sign)))
        for sign in (1, -1)
        for j in range(outputs)
    ]
    return with_sums(joined(parts, ["f", "g"], one.inputs), sums)


def width(graph: Graph, box: boundmesh.Box, method: str, device: str) -> tuple[float, float]:
    """Return the mean width of bounds of the differences, and the seconds that it took.

    Both ends are lower bounds, of y' − y and of y − y', as they are in a property.
    """
    bounded, both = graph.bounded, graph[graph.output].size
    rows = np.zeros((both, bounded[bounded.output].size))
    if graph.extended is not None:
        rows[:, both:] = np.eye(both)
    else:
        up = np.concatenate([-np.eye(both // 2), np.eye(both // 2)], 1)
        rows[:] = np.concatenate([up, -up])
    start = time.perf_counter()
    found = boundmesh.bounds(bounded, box, rows=rows, method=method, device=device)
    return float(-2 * np.mean(found.lower)), time.perf_counter() - start


def sampled(one: Graph, two: Graph, box: boundmesh.Box) -> float:
    low, high = torch.as_tensor(box.lower), torch.as_tensor(box.upper)
    x = low + torch.rand(2000, box.size).double() * (high - low)
    first, second = (forward(graph, tensors(graph, torch.float64), x) for graph in (one, two))
    seen = (second - first).flatten(1)
    return float((seen.amax(0) - seen.amin(0)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    print(
        "| network | second network | sampled | CROWN apart | jointly | α-CROWN apart | jointly |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, make in NETWORKS.items():
        for how, change in CHANGES.items():
            found = []
            for seed in range(chosen.seeds):
                torch.manual_seed(seed)
                module, shape, radius = make()
                first, second = (
                    boundmesh.from_torch(each, torch.zeros(shape))
                    for each in (module, changed(module, change))
                )
                center = np.random.default_rng(seed).uniform(-1, 1, size=int(np.prod(shape)))
                box, both = boundmesh.Box.around(center, radius), pair(first, second)
                row = [(sampled(first, second, box), 0.0)]
                for method in ("crown", "alpha-crown"):
                    for graph in (replace(both, extended=None), both):
                        row.append(width(graph, box, method, chosen.device))
                found.append(row)
            mean = np.mean(found, 0)
            cells = [f"{mean[0, 0]:.3g}", *(f"{wide:.3g}, {took:.2f} s" for wide, took in mean[1:])]
            print(f"| {name} | {how} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
