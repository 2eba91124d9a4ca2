"""Running out of memory, said so that the user can do something about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from boundmesh.errors import DeviceError
from boundmesh.graph.graph import Graph
from boundmesh.settings import Settings


@contextmanager
def memory_errors(graph: Graph, device: torch.device, settings: Settings) -> Iterator[None]:
    """DeviceError, with what took the memory and what to do, where the work within ran out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(_advice(graph, device, settings, error)) from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python, torch's CPU allocator or a GPU's ran out; on a CPU torch has no own type."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "can't allocate memory" in str(error)


def _advice(graph: Graph, device: torch.device, settings: Settings, error: Exception) -> str:
    size = 8 if settings.dtype == "float64" else 4
    weights = sum(array.size for array in graph.weights.values()) * size
    tile = settings.bounds.tile_elements
    met = " ".join(str(error).split()) or type(error).__name__
    return (
        f"out of memory on {device}: the weights take {weights / 2**20:.0f} MiB, and every copy of "
        f"a tile of rows {tile * size / 2**20:.0f} MiB, several of which live at one time; use "
        f"smaller tiles (--tile-elements {max(tile // 4, 1)}), a cheaper --method, or a device "
        f"with more memory ({met})"
    )
