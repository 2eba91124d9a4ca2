"""Turns running out of memory into messages that tell the user what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from boundmesh.errors import DeviceError
from boundmesh.graph.graph import Graph
from boundmesh.runtime.memory import refuse_beyond
from boundmesh.settings import Settings

# Fewer bytes than this are not checked, as they fit everywhere.
SMALL = 2**26
# The number of points at which a network is compared with ONNX Runtime at one time, in float64.
POINTS = 5


def check_fits(graph: Graph, device: torch.device, settings: Settings) -> None:
    """Raise DeviceError where the device cannot hold the weights and the bounds of one node.

    Every method needs both at the same time. The message names the largest node.
    """
    size = 8 if settings.dtype == "float64" else 4
    shared = settings.layout.shards > 1 or settings.layout.offload != "none"
    weights = 0 if shared else sum(array.size for array in graph.weights.values()) * size
    largest = max(graph.nodes, key=lambda node: node.size)
    where = f"node '{largest.name}' ({largest.op}) of shape {list(largest.shape)}"
    advice = "use a smaller network, or a device with more memory"
    # A lower and an upper bound of each neuron.
    needed = weights + 2 * size * largest.size
    if needed > SMALL:
        there = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
        refuse_beyond(f"the weights and the bounds of {where}", needed, advice, there)
    checked = POINTS * 8 * largest.size
    if checked > SMALL:
        refuse_beyond(f"comparing {where} with ONNX Runtime", checked, advice)


@contextmanager
def memory_errors(graph: Graph, device: torch.device, settings: Settings) -> Iterator[None]:
    """Raise DeviceError where the context runs out of memory.

    The message names what took the memory and what to do.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(_advice(graph, device, settings, error)) from error


def is_out_of_memory(error: Exception) -> bool:
    """Return True for an out-of-memory error of Python, of torch's CPU allocator or of a GPU's.

    The CPU allocator's error has no type of its own, so its message is checked.
    """
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
