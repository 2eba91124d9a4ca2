"""The layouts of a plan: those of a run, on ranks that are only imagined."""

from __future__ import annotations

from collections.abc import Callable

import torch

from boundmesh.bounds.sweep.layout import DeviceLayout, OneDevice
from boundmesh.plan.rehearsal import Bounding, LayoutOf


def schedule_of(bounding: Bounding, shards: int, schedule: str, offload: str) -> str:
    """Return the schedule that a run on so many shards would use."""
    if shards == 1:
        return "one"
    if schedule != "auto" or offload == "weights":
        return "gather" if schedule == "auto" else schedule
    from boundmesh.mesh.runtime.traffic import traffic

    moved = traffic(bounding.graph, shards, bounding.tile_elements, bounding.domains)
    return moved.schedule


def imagined_layout(
    bounding: Bounding, shards: int, schedule: str, offload: str, peers: bool
) -> LayoutOf:
    """Return a function that creates the layout of the first of so many shards.

    `schedule` is a result of `schedule_of`; `peers` is true if ranks read each other's memory.
    """
    graph, dtype, offloaded = bounding.graph, bounding.dtype, offload == "weights"
    if schedule == "one" and not offloaded:
        return lambda device, report: OneDevice(graph, device, dtype)
    # Schedules are imported here, not at the top, because a plan for one device needs none.
    from boundmesh.mesh.exchange.layout import Exchange
    from boundmesh.mesh.gather.layouts import Gather, Offload
    from boundmesh.plan.group import ImaginedGroup, ImaginedPeers

    if schedule == "one":
        return lambda device, report: Offload(graph, device, dtype)
    if schedule == "exchange":
        return lambda device, report: Exchange(graph, ImaginedGroup(shards, report), device, dtype)

    def gather(device: torch.device, report: Callable[[int], None]) -> DeviceLayout:
        group = ImaginedGroup(shards, report)
        source = ImaginedPeers(group, device, dtype) if peers and not offloaded else None
        return Gather(graph, group, device, dtype, offload=offloaded, source=source)

    return gather
