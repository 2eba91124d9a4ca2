"""Joins the ranks that a launcher started into a mesh with the axes `domains` and `shards`."""

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

# A rank that waits longer than this for the others ends with an error.
PATIENCE = timedelta(minutes=10)
# The first group bounds and attacks the root domain alone, and the other groups wait for it as long
# as that takes. If a rank ends, its connection closes, and the others fail at once.
LONG_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Mesh:
    """This rank's place in the mesh.

    shape    the lengths of both axes
    shards   the group of this rank along `shards`
    domains  the group of this rank along `domains`; it sends tensors in host memory only
    device   the device of this rank
    """

    shape: MeshShape
    shards: Group
    domains: Group
    device: torch.device

    @property
    def first(self) -> bool:
        """True for the rank that prints results: the first of all."""
        return self.shards.rank == 0 and self.domains.rank == 0

    def broadcast_object(self, value: Value) -> Value:
        """Return the value of the first rank of all."""
        return self.shards.broadcast_object(self.domains.broadcast_object(value))


@cache
def join(shape: MeshShape, device: str = "auto") -> Mesh:
    """Join the ranks of the launcher into a mesh; neighbouring ranks differ along `shards`.

    `device` is auto, cpu or cuda; each rank uses the GPU of its local rank. NCCL connects GPUs, and
    gloo connects CPUs. Raises BoundmeshError if the launcher started another number of ranks, and
    DeviceError if a rank has no GPU.
    """
    own_device = rank_device(device)
    backend = "cpu:gloo,cuda:nccl" if own_device.type == "cuda" else "gloo"
    method = os.environ.get(RENDEZVOUS, "env://")
    ranks, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if not inside() or ranks != shape.size:
        raise BoundmeshError(
            f"the mesh {shape} has {shape.size} ranks, and {ranks} were started; "
            f"start it with: torchrun --nproc-per-node {shape.size} …"
        )
    dist.init_process_group(backend, method, timeout=PATIENCE, world_size=ranks, rank=rank)
    atexit.register(leave)
    return arrange(shape, own_device)


def arrange(shape: MeshShape, device: torch.device) -> Mesh:
    """Create the mesh and its groups of an initialised process group; `device` is this rank's."""
    axes = ("domains", "shards")
    mesh = init_device_mesh(device.type, (shape.domains, shape.shards), mesh_dim_names=axes)
    columns = [[*range(shard, shape.size, shape.shards)] for shard in range(shape.shards)]
    across, _ = dist.new_subgroups_by_enumeration(columns, LONG_PATIENCE, "gloo")
    assert across is not None
    return Mesh(shape, Group(mesh.get_group("shards")), Group(across), device)


def leave() -> None:
    """Leave the mesh. This must not be called after a failure, when other ranks may have ended."""
    join.cache_clear()
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def joined(shape: MeshShape, device: str = "auto") -> Iterator[Mesh]:
    """Join a mesh for the time of a context, and leave it afterwards."""
    yield join(shape, device)
    leave()


def rank_device(name: str) -> torch.device:
    """Return the device of this rank. Raises DeviceError if it has none of the kind `name`."""
    if name not in ("auto", "cpu", "cuda"):
        raise DeviceError(
            f"device {name!r} was asked for on a mesh; each rank takes its own there: "
            "use --device auto, cpu or cuda"
        )
    gpus, place = torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", 0))
    if name == "cpu" or (name == "auto" and not gpus):
        return torch.device("cpu")
    if place >= gpus:
        raise DeviceError(
            f"rank {place} of this host has no GPU: it has {gpus}; use fewer ranks, or --device cpu"
        )
    torch.cuda.set_device(place)
    return torch.device("cuda", place)
