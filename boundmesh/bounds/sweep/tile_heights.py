"""Computes how many rows a tile has, and how it is divided on its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from boundmesh.bounds.sweep.largest_row import windowed_row, windowed_sizes
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.rows import Division

# Rows are cut into at least LEAST_TILES tiles, so that several devices have work. With gradients
# there are more and smaller tiles, as a tile then keeps its coefficients at every nonlinear node.
# Tiles of fewer than LEAST_ELEMENTS numbers or LEAST_ROWS rows would not use a device fully, so
# there are fewer tiles then. A network with curves takes many more and smaller kernels for each
# tile, whose number matters more than their size: its tiles have at least LEAST_ELEMENTS_OF_CURVES.
LEAST_TILES = 4
LEAST_TILES_OF_GRADIENTS = 16
LEAST_ELEMENTS = 2**20
LEAST_ELEMENTS_OF_CURVES = 2**22
LEAST_ROWS = 256
MOST_WHOLE = 16
"""A start node with more tiles of windows than this gets fewer, which are divided on their way."""
MOST_REPEATED = 1.1
"""Tiles that share rows with others may have so many times the rows that there are."""
GROWTH = 4
"""How much a part of a tile may grow before it is divided again; parts that are not yet swept stay
in memory meanwhile, so a larger number saves memory and a smaller one saves launches."""


@dataclass(frozen=True)
class Tiling:
    """How the rows of a start node are cut into tiles.

    height     the number of rows of a tile; the last tile may have fewer
    divisions  how a tile is divided in front of some nodes, by name
    """

    height: int
    divisions: Mapping[str, Division]


def tiling(
    program: Program,
    start: str,
    domains: int,
    rows: int,
    tile_elements: int,
    gradients: bool = False,
    windows: bool = False,
) -> Tiling:
    """Return how `rows` rows of `start` are cut; `tile_height` describes the other arguments."""
    given = program, start, domains
    height = tile_height(*given, rows, tile_elements, gradients, windows)
    if not windows or gradients:
        return Tiling(height, {})
    divided = divisions(*given, height, tile_elements)
    fixed = fixed_tiling(*given, tile_elements) if divided else None
    if fixed is not None:
        found = _of_parts(fixed, rows)
        if -(-rows // found.height) * found.height <= rows * MOST_REPEATED:
            return found
    return Tiling(evened(height, divided), divided)


def fixed_tiling(program: Program, start: str, domains: int, tile_elements: int) -> Tiling | None:
    """Return the tiling if all neurons of `start` get rows in windows; None without divisions.

    Other tiles that are divided have parts of these heights, so these are known before the rows.
    """
    rows = 2 * program.graph[start].size
    height = tile_height(program, start, domains, rows, tile_elements, windows=True)
    divided = divisions(program, start, domains, height, tile_elements)
    return Tiling(evened(height, divided), divided) if divided else None


def first_part(tiling: Tiling) -> int:
    """Return the number of rows of a part after the first division."""
    return next(iter(tiling.divisions.values())).height


def _of_parts(fixed: Tiling, rows: int) -> Tiling:
    """Return tiles with as many parts of a fixed tiling as `rows` rows need, or a few more."""
    (name, first), *rest = fixed.divisions.items()
    needed = -(-rows // first.height)
    fewest = max(min(LEAST_TILES, needed), -(-needed // first.parts))
    counts = [(tiles, -(-needed // tiles)) for tiles in range(fewest, fewest + LEAST_TILES)]
    # Two devices take as long as the one with more tiles.
    _, parts = min(counts, key=lambda each: (_even(each[0]) * each[1], each[0] * each[1]))
    return Tiling(parts * first.height, {name: Division(parts, first.height), **dict(rest)})


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
    windows, which are multiplied place by place, so that any height serves. Without gradients a
    tile of windows has so few rows that all its coefficients fit, if this makes MOST_WHOLE tiles or
    fewer. Else it is enough that the first coefficients fit, as `divisions` divides the tile later.
    """
    longest = windowed_row(program, start, gradients) if windows else None
    length = domains * (program.widest(start) if longest is None else longest)
    shared = -(-rows // (LEAST_TILES_OF_GRADIENTS if gradients else LEAST_TILES))
    least = LEAST_ELEMENTS_OF_CURVES if program.has_curves else LEAST_ELEMENTS
    enough = max(shared, LEAST_ROWS // domains, least // length)
    if longest is None:
        most = max(1, min(tile_elements // length, enough))
        return 1 << (most.bit_length() - 1)
    room = of_windows(tile_elements)
    if gradients:
        return max(1, min(room // length, enough))
    sizes = windowed_sizes(program, start)
    assert sizes is not None
    most = room // (domains * max(sizes.values()))
    if most * MOST_WHOLE < rows:
        most = room // (domains * sizes[start])
    tiles = -(-rows // max(1, min(most, enough)))
    return -(-rows // _even(tiles)) if rows else 1


def _even(tiles: int) -> int:
    """Return so many tiles, or one more where two devices would not have equally many."""
    return tiles + tiles % 2 if tiles > LEAST_TILES else tiles


def of_windows(tile_elements: int) -> int:
    """Return the most numbers in a coefficient tensor of a tile of windows.

    A sweep of windows holds more such tensors at a time than one of whole maps: those of the parts
    that are not yet swept, and those that recorded kernels read.
    """
    return max(1, tile_elements * 3 // 4)


def divisions(
    program: Program, start: str, domains: int, height: int, tile_elements: int
) -> dict[str, Division]:
    """Return the nodes in front of which a tile of windows is divided, and the parts at each.

    Windows grow on their way to the input. Thousands of rows pass the first nodes together, and are
    divided where their coefficients would hold more than `tile_elements` numbers. The parts are so
    small that they can grow `GROWTH` times before they are divided again. All parts are equally
    high in a tile of `evened(height, divisions)` rows, which are never fewer than `height`.
    """
    divided: dict[str, Division] = {}
    tile_elements = of_windows(tile_elements)
    sizes = windowed_sizes(program, start)
    if sizes is None:
        return {}
    names = [node.name for node in program.order(start) if node.name in sizes]
    for index, name in enumerate(names[1:], 1):
        size = domains * sizes[name]
        if height * size > tile_elements:
            largest = domains * max(sizes[later] for later in names[index:])
            least = max(1, tile_elements // largest)
            parts = min(-(-height * size * GROWTH // tile_elements), -(-height // least))
            if parts > 1:
                whole, height = height, -(-height // parts)
                divided[name] = Division(-(-whole // height), height)
    for name in reversed(divided):
        divided[name] = Division(divided[name].parts, height)
        height *= divided[name].parts
    return divided


def evened(height: int, divisions: Mapping[str, Division]) -> int:
    """Return how many rows a tile has whose parts are all equally high, for `height` or more."""
    first = next(iter(divisions.values()), None)
    return height if first is None else first.parts * first.height
