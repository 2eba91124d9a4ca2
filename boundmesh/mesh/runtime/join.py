"""Joining the ranks that a launcher has started into a mesh of two axes."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from boundmesh.errors import BoundmeshError, DeviceError
from boundmesh.mesh.runtime.group import Group
from boundmesh.mesh_shape import MeshShape
from boundmesh.runtime.rank import RENDEZVOUS, inside

Value = TypeVar("Value")

# A rank that waits so long for the others in vain ends with an error.
PATIENCE = timedelta(minutes=10)
# Groups of domains wait for the first one, which bounds and attacks alone, as long as that takes.
# One that is gone is known at once, by its connection.
LONG_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Mesh:
    """This rank's place: its groups along `shards` and, of host memory alone, along `domains`; its
    device."""

    shape: MeshShape
    shards: Group
    domains: Group
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this rank is the one that speaks."""
        return self.shards.rank == 0 and self.domains.rank == 0

    def first_says(self, value: Value) -> Value:
        """The value of the first rank of all."""
        return self.shards.first_says(self.domains.first_says(value))


@cache
def join(shape: MeshShape, device: str = "auto") -> Mesh:
    """The mesh of `shape` over the ranks of the launcher; neighbours along `shards` come first.

    `device` is auto, cpu or cuda; each rank takes the GPU of its local rank. NCCL joins GPUs, gloo
    CPUs. Raises BoundmeshError where the launcher started another number of ranks, DeviceError
    where a rank has no GPU.
    """
    own = rank_device(device)
    backend = "cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo"
    method = os.environ.get(RENDEZVOUS, "env://")
    ranks, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if not inside() or ranks != shape.size:
        raise BoundmeshError(
            f"the mesh {shape} has {shape.size} ranks, and {ranks} were started; "
            f"start it with: torchrun --nproc-per-node {shape.size} …"
        )
    dist.init_process_group(backend, method, timeout=PATIENCE, world_size=ranks, rank=rank)
    atexit.register(leave)
    return arrange(shape, own)


def arrange(shape: MeshShape, device: torch.device) -> Mesh:
    """All ranks, which have met, in a mesh; `device` is this one's."""
    axes = ("domains", "shards")
    mesh = init_device_mesh(device.type, (shape.domains, shape.shards), mesh_dim_names=axes)
    columns = [[*range(shard, shape.size, shape.shards)] for shard in range(shape.shards)]
    across, _ = dist.new_subgroups_by_enumeration(columns, LONG_PATIENCE, "gloo")
    assert across is not None
    return Mesh(shape, Group(mesh.get_group("shards")), Group(across), device)


def leave() -> None:
    """Leave the mesh in order; not after a failure, when other ranks may be gone."""
    join.cache_clear()
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def joined(shape: MeshShape, device: str = "auto") -> Iterator[Mesh]:
    """A mesh that is joined within, and left in order afterwards."""
    yield join(shape, device)
    leave()


def rank_device(name: str) -> torch.device:
    """The device of this rank; DeviceError where `name` asks for one that it cannot have."""
    if name not in ("auto", "cpu", "cuda"):
        raise DeviceError(
            f"device {name!r} was asked for on a mesh; each rank takes its own there: "
            "use --device auto, cpu or cuda"
        )
    found, place = torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", 0))
    if name == "cpu" or (name == "auto" and not found):
        return torch.device("cpu")
    if place >= found:
        raise DeviceError(
            f"rank {place} of this host has no GPU: it has {found}; "
            "use fewer ranks, or --device cpu"
        )
    torch.cuda.set_device(place)
    return torch.device("cuda", place)
