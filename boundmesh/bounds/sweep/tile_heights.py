"""How many rows a tile has."""

from __future__ import annotations

from boundmesh.bounds.sweep.largest_row import windowed_row
from boundmesh.bounds.sweep.program import Program

# Rows are cut into at least LEAST_TILES tiles, so that several devices have work. With gradients
# there are more and smaller tiles, as a tile then keeps its coefficients at every nonlinear node.
# Tiles of fewer than LEAST_ELEMENTS numbers or LEAST_ROWS rows would not use a device fully, so
# there are fewer tiles then.
LEAST_TILES = 4
LEAST_TILES_OF_GRADIENTS = 16
LEAST_ELEMENTS = 2**20
LEAST_ROWS = 256


def tile_height(
    program: Program,
    start: str,
    domains: int,
    rows: int,
    tile_elements: int,
    gradients: bool = False,
    windows: bool = False,
) -> int:
    """Return how many rows a tile of `start` has.

    Its largest coefficient tensor A then holds at most `tile_elements` numbers. The height depends
    on the network, the number of rows and the memory allowed, and never on the devices. It is a
    power of two, because products of such heights use a device best. If `gradients` is true, the
    sweep computes gradients, and tiles are smaller. If `windows` is true, rows may start as
    windows, which are multiplied place by place, so that any height serves.
    """
    longest = windowed_row(program, start, gradients) if windows else None
    length = domains * (program.widest(start) if longest is None else longest)
    shared = -(-rows // (LEAST_TILES_OF_GRADIENTS if gradients else LEAST_TILES))
    enough = max(shared, LEAST_ROWS // domains, LEAST_ELEMENTS // length)
    most = max(1, min(tile_elements // length, enough))
    return most if longest is not None else 1 << (most.bit_length() - 1)
