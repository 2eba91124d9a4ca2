"""Warms up the process that runs a benchmark, chooses its device, and recovers from failures."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import torch

from boundmesh import api
from boundmesh.errors import DeviceError
from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Port
from boundmesh.operators.linear import LINEAR
from boundmesh.operators.relu import RELU
from boundmesh.property import Box, Property
from boundmesh.runtime.device import set_aside
from boundmesh.settings import AttackSettings, Settings


def warm(settings: Settings) -> None:
    """Decide a tiny property, so that the time of no instance includes the start of the process."""
    build = Builder()
    weight = np.array([[1.0, -1.0], [1.0, 1.0]], np.float32)
    hidden = build.add(RELU.name, build.add(LINEAR.name, build.input((1, 2)), weights=(weight,)))
    output = build.add(LINEAR.name, hidden, weights=(weight,))
    graph = build.graph(output, (Port("x", (1, 2)),), (Port("y", (1, 2)),))
    # y₁ − y₀ = 2·relu(x₀ + x₁) > 0, since x₀ + x₁ is.
    stays = Property.largest(Box(np.array([[-0.1, 0.2]]), np.array([[1.0, 1.0]])), 1, 2)
    attack = AttackSettings(restarts=2, steps=2)
    bounds = replace(settings.bounds, method="alpha-crown", iterations=2)
    settings = replace(settings, timeout=None, attack=attack, bounds=bounds)
    api.verify(graph, stays, settings=settings)
    set_aside()


def recover(device: torch.device) -> None:
    """Free the memory of an instance that failed; raise DeviceError where a GPU failed for good."""
    gc.collect()
    if device.type != "cuda":
        return
    try:
        torch.cuda.empty_cache()
        torch.zeros(1, device=device).item()
    except RuntimeError as error:
        raise DeviceError(
            f"{device} does not work any more, nor will it in this process; with --out the same "
            f"command goes on after this instance ({error})"
        ) from error
