"""What a launcher says of this process; known before torch is imported."""

from __future__ import annotations

import os

# Names the rendezvous of ranks that boundmesh started; those of torchrun have its own variables.
RENDEZVOUS = "BOUNDMESH_RENDEZVOUS"


def inside() -> bool:
    """Whether a launcher, torchrun or boundmesh, has started this process as a rank."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def under_torchrun() -> bool:
    """Whether it was torchrun."""
    return inside() and RENDEZVOUS not in os.environ


def is_first() -> bool:
    """Whether this process is the one that speaks."""
    return os.environ.get("RANK", "0") == "0"


def ranks_here() -> int:
    """How many ranks share this host."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
