"""Creates the layout and joins the mesh that a user's settings describe."""

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
    """Create the layout that `settings.layout` describes; the ranks of a mesh join here.

    Raises BoundmeshError if the mesh does not exist or cannot be used.
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
    """Return the groups that `settings.layout` describes; None if there is only one rank."""
    mesh = mesh_for(settings)
    return None if mesh is None else DomainGroups(mesh)


def mesh_for(settings: Settings) -> Mesh | None:
    """Return the mesh that `settings.layout` describes, joined at the first call.

    The result is None if there is only one rank.
    """
    shape = settings.layout.shape
    return join(shape, settings.device) if shape.size > 1 else None


def device_for(settings: Settings) -> torch.device:
    """Return the device of this process. Raises DeviceError if it is absent."""
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
    """Create the layout of `graph` on `mesh`, or on one `device` if `mesh` is None.

    schedule       one of settings.SCHEDULES; `auto` chooses the one that moves fewer bytes
    offload        one of settings.OFFLOADS
    wave           how many tiles share each fetched weight (None: `WeightSource.wave`)
    tile_elements  the most numbers in a coefficient tensor of a tile; used by `auto`
    domains        how many domains are bounded at a time; used by `auto`

    Raises BoundmeshError if schedule and offload exclude each other.
    """
    turn_on()
    offloaded = offload == "weights"
    if mesh is None or mesh.shape.shards == 1:
        own_device = device if mesh is None else mesh.device
        if not offloaded:
            return OneDevice(graph, own_device, dtype)
        from boundmesh.mesh.gather.layouts import Offload

        return Offload(graph, own_device, dtype, wave)
    if offloaded and schedule == "exchange":
        raise BoundmeshError(
            "--offload weights moves weights to the device and --schedule exchange leaves them "
            "where they are; use one of the two"
        )
    # Schedules are imported here, not at the top, because a run on one device needs none.
    if schedule == "auto" and not offloaded:
        from boundmesh.mesh.runtime.traffic import traffic

        schedule = traffic(graph, mesh.shape.shards, tile_elements, domains).schedule
    if schedule == "exchange":
        from boundmesh.mesh.exchange.layout import Exchange

        return Exchange(graph, mesh.shards, mesh.device, dtype)
    from boundmesh.mesh.gather.layouts import Gather

    return Gather(graph, mesh.shards, mesh.device, dtype, wave, offloaded)
