"""Moves counterexamples nearer to their inputs, along the line between the two."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from boundmesh.attack.replay import representable
from boundmesh.certify.distance import distance
from boundmesh.certify.run import CertifyRun
from boundmesh.graph.forward import forward
from boundmesh.property import Box
from boundmesh.verdict import Counterexample

# So many points on the way are compared at once, and so often.
POINTS, ROUNDS = 16, 3


@torch.no_grad()
def nearer(
    run: CertifyRun, found: Mapping[int, Counterexample]
) -> dict[int, tuple[Counterexample, float]]:
    """Return a counterexample of each input on the way to the given one, and its distance.

    ONNX Runtime confirms each point that replaces another.
    """
    return {index: _nearer(run, index, counterexample) for index, counterexample in found.items()}


def _nearer(run: CertifyRun, index: int, found: Counterexample) -> tuple[Counterexample, float]:
    start = run.inputs.points[index]
    low, high = 0.0, 1.0
    way = found.input.reshape(-1) - start
    for _ in range(ROUNDS):
        shares = np.linspace(low, high, POINTS + 1)[1:]
        broken = _broken(run, index, start + shares[:, None] * way)
        first = int(broken.argmax()) if broken.any() else POINTS - 1
        low, high = (low if first == 0 else float(shares[first - 1])), float(shares[first])
    box = Box(np.minimum(start, start + way), np.maximum(start, start + way))
    point = representable(box, start + high * way, run.graph.inputs)
    away = distance(point, start, run.inputs.norm)
    confirmed = run.confirmed(index, run.inputs.region(index, away), [point])
    if confirmed is not None:
        return confirmed, distance(confirmed.input.reshape(-1), start, run.inputs.norm)
    return found, distance(found.input.reshape(-1), start, run.inputs.norm)


def _broken(run: CertifyRun, index: int, points: np.ndarray) -> np.ndarray:
    """Return the mask of the points at which another class has the largest score."""
    graph, layout, label = run.graph, run.layout, int(run.labels[index])
    x = torch.from_numpy(points).to(layout.device, layout.dtype)
    y = forward(graph, layout.weights, x.reshape(-1, *graph[graph.input].shape)).flatten(1)
    others = y.index_fill(1, torch.tensor([label], device=y.device), -torch.inf)
    return (others.amax(1) >= y[:, label]).cpu().numpy()
