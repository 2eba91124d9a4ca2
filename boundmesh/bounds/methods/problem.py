"""What every bound method is given: a network, the region of its inputs, and where to compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from boundmesh.bounds.relaxation.lines import FixedLines
from boundmesh.bounds.sweep.backward import tile_height
from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.rows import Rows, Tile, into_tiles
from boundmesh.operators.operator import Interval
from boundmesh.operators.rounding import Rounding


@dataclass(frozen=True)
class Problem:
    """What is bounded, where, and by whom: a program, a region of D domains, a layout.

    `check` is called between waves of tiles and may raise, to stop a computation in time.
    `rounding` is what bounds must outweigh; None trusts the arithmetic.
    """

    program: Program
    region: Region
    layout: DeviceLayout
    tile_elements: int = 2**23
    check: Callable[[], None] = lambda: None
    rounding: Rounding | None = None

    def tiles(self, start: str, rows: Rows, *, gradients: bool = False) -> tuple[Tile, ...]:
        """The tiles of rows of a start node; smaller where `gradients` are to be computed."""
        height = tile_height(
            self.program, start, self.region.domains, rows.count, self.tile_elements, gradients
        )
        return tuple(into_tiles(start, rows, height))

    def fixed_lines(self, bounds: Mapping[str, Interval]) -> FixedLines:
        """CROWN's lines of the neurons that are this rank's share."""
        return FixedLines(bounds, self.layout.share(self.program).bounds)
