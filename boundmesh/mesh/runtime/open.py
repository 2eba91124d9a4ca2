"""From what a user asks for to a layout."""

from __future__ import annotations

import torch

from boundmesh.bounds.sweep.layout import DeviceLayout, OneDevice
from boundmesh.errors import BoundmeshError
from boundmesh.graph.graph import Graph
from boundmesh.mesh.runtime.domain_groups import DomainGroups
from boundmesh.mesh.runtime.join import Mesh, join
from boundmesh.runtime.device import choose_device, dtype_of
from boundmesh.selfcheck.turn_on import turn_on
from boundmesh.settings import Settings


def layout_for(graph: Graph, settings: Settings) -> DeviceLayout:
    """The layout that `settings.layout` asks for; the ranks of a mesh join here.

    Raises BoundmeshError for a mesh that does not exist or cannot be used.
    """
    chosen, mesh = settings.layout, mesh_for(settings)
    return open_layout(
        graph,
        mesh,
        device_for(settings),
        dtype_of(settings),
        chosen.schedule,
        chosen.offload,
        tile_elements=settings.bounds.tile_elements,
    )


def groups_for(settings: Settings) -> DomainGroups | None:
    """The groups that `settings.layout` asks for; None where one rank is all there is."""
    mesh = mesh_for(settings)
    return None if mesh is None else DomainGroups(mesh)


def mesh_for(settings: Settings) -> Mesh | None:
    """The mesh that `settings.layout` asks for, joined when first asked for; None for one rank."""
    shape = settings.layout.shape
    return join(shape, settings.device) if shape.size > 1 else None


def device_for(settings: Settings) -> torch.device:
    """The device of this process; DeviceError where it is absent."""
    mesh = mesh_for(settings)
    return choose_device(settings.device) if mesh is None else mesh.device


def open_layout(
    graph: Graph,
    mesh: Mesh | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    schedule: str = "auto",
    offload: str = "none",
    wave: int | None = None,
    tile_elements: int = 2**23,
    domains: int = 1,
) -> DeviceLayout:
    """The layout of `graph` on `mesh`, or on one `device` where there is no mesh.

    `schedule` and `offload` are of settings.SCHEDULES and OFFLOADS; `auto` takes the one that
    moves fewer bytes for tiles of `tile_elements` and so many `domains` at a time. `wave` tiles
    share each fetched weight (None: as `WeightSource.wave` says). Raises BoundmeshError where
    schedule and offload do not go together.
    """
    turn_on()
    offloaded = offload == "weights"
    if mesh is None or mesh.shape.shards == 1:
        own = device if mesh is None else mesh.device
        if not offloaded:
            return OneDevice(graph, own, dtype)
        from boundmesh.mesh.gather.layouts import Offload

        return Offload(graph, own, dtype, wave)
    if offloaded and schedule == "exchange":
        raise BoundmeshError(
            "--offload weights moves weights to the device and --schedule exchange leaves them "
            "where they are; use one of the two"
        )
    # A schedule is imported where it is used: a run on one device needs none.
    if schedule == "auto" and not offloaded:
        from boundmesh.mesh.runtime.traffic import traffic

        schedule = traffic(graph, mesh.shape.shards, tile_elements, domains).schedule
    if schedule == "exchange":
        from boundmesh.mesh.exchange.layout import Exchange

        return Exchange(graph, mesh.shards, mesh.device, dtype)
    from boundmesh.mesh.gather.layouts import Gather

    return Gather(graph, mesh.shards, mesh.device, dtype, wave, offloaded)
