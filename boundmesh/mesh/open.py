"""From what a user asks for to a layout."""

from __future__ import annotations

import torch

from boundmesh.bounds.layout import Layout, OneDevice
from boundmesh.errors import BoundmeshError
from boundmesh.graph.graph import Graph
from boundmesh.mesh.exchange import Exchange
from boundmesh.mesh.join import Mesh
from boundmesh.mesh.layout import Gather, Offload
from boundmesh.mesh.schedule import traffic

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
    tile_elements: int = 2**23,
    domains: int = 1,
) -> Layout:
    """The layout of `graph` on `mesh`, or on one `device` where there is no mesh.

    `schedule` is one of SCHEDULES; `auto` takes the one that moves fewer bytes for tiles of
    `tile_elements` and so many `domains` at a time. `offload` is one of OFFLOADS; `wave` tiles
    share each fetched weight. Raises BoundmeshError where the two do not go together.
    """
    offloaded = offload == "weights"
    if mesh is None or mesh.shape.shards == 1:
        own = device if mesh is None else mesh.device
        return Offload(graph, own, dtype, wave) if offloaded else OneDevice(graph, own, dtype)
    if offloaded and schedule == "exchange":
        raise BoundmeshError(
            "--offload weights moves weights to the device and --schedule exchange leaves them "
            "where they are; use one of the two"
        )
    if schedule == "auto" and not offloaded:
        schedule = traffic(graph, mesh.shape.shards, tile_elements, domains).schedule
    if schedule == "exchange":
        return Exchange(graph, mesh.shards, mesh.device, dtype)
    return Gather(graph, mesh.shards, mesh.device, dtype, wave, offloaded)
