"""Reads the rank of this process from its environment, without importing torch."""

from __future__ import annotations

import os

from boundmesh.errors import BoundmeshError

# This variable holds the rendezvous of ranks that boundmesh started. torchrun has variables of its
# own.
RENDEZVOUS = "BOUNDMESH_RENDEZVOUS"


def inside() -> bool:
    """Return True if a launcher, torchrun or boundmesh, has started this process as a rank."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def under_torchrun() -> bool:
    """Return True if torchrun has started this process as a rank."""
    return inside() and RENDEZVOUS not in os.environ


def is_first() -> bool:
    """Return True if this process is the first rank, which alone prints and writes results."""
    return not inside() or os.environ["RANK"].strip() == "0"


def check_rank() -> None:
    """Raise BoundmeshError where the variables of a launcher name no rank.

    A process that took itself for another rank than the first would print nothing.
    """
    if not inside():
        return
    rank, ranks = os.environ["RANK"], os.environ["WORLD_SIZE"]
    try:
        right = 0 <= int(rank) < int(ranks)
    except ValueError:
        right = False
    if not right:
        raise BoundmeshError(
            f"the variables RANK and WORLD_SIZE are '{rank}' and '{ranks}'; a launcher sets them "
            "to the number of a process, from 0, and to how many there are: unset them"
        )


def check_ranks(size: int) -> None:
    """Raise BoundmeshError where other processes were started than the `size` ranks of a mesh."""
    if inside() and int(os.environ["WORLD_SIZE"]) != size:
        raise BoundmeshError(
            f"the variable WORLD_SIZE is {os.environ['WORLD_SIZE']}, as a launcher of so many "
            f"ranks sets it, and the mesh has {size}: give --mesh, or unset RANK and WORLD_SIZE"
        )


def ranks_here() -> int:
    """Return the number of ranks on this host."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
