"""Reads the rank of this process from its environment, without importing torch."""

from __future__ import annotations

import os

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
    return os.environ.get("RANK", "0") == "0"


def ranks_here() -> int:
    """Return the number of ranks on this host."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
