"""From what a user asks for to a layout."""

from __future__ import annotations

import torch

from boundmesh.bounds.layout import Layout, OneDevice
from boundmesh.graph.graph import Graph
from boundmesh.mesh.exchange import Exchange
from boundmesh.mesh.join import Mesh
from boundmesh.mesh.layout import Gather, Offload

SCHEDULES = ("auto", "gather", "exchange")
OFFLOADS = ("none", "weights")


def open_layout(
    graph: Graph,
    mesh: Mesh | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    schedule: str = "auto",
    offload: str = "none",
    wave: int = 1,
) -> Layout:
    """The layout of `graph` on `mesh`, or on one `device` where there is no mesh.

    `schedule` is one of SCHEDULES, `offload` of OFFLOADS; `wave` tiles share each fetched weight.
    """
    offloaded = offload == "weights"
    if mesh is None or mesh.shape.shards == 1:
        own = device if mesh is None else mesh.device
        return Offload(graph, own, dtype, wave) if offloaded else OneDevice(graph, own, dtype)
    if schedule == "exchange":
        return Exchange(graph, mesh.shards, mesh.device, dtype)
    return Gather(graph, mesh.shards, mesh.device, dtype, wave, offloaded)
