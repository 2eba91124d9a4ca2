"""The problem that every bound method solves: a network, a region of inputs, and the devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from boundmesh.bounds.relaxation.fixed_lines import FixedLines
from boundmesh.bounds.sweep.backward import no_look
from boundmesh.bounds.sweep.largest_row import forms, spatial_axes, windowed_row
from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.rows import Rows, Tile, UnitRows, into_tiles
from boundmesh.bounds.sweep.tile_heights import tiling
from boundmesh.bounds.sweep.window_rows import whole_stay
from boundmesh.operators.interval import Interval
from boundmesh.operators.rounding import Rounding


@dataclass(frozen=True)
class Problem:
    """The network that a method bounds, the region of its inputs, and the devices.

    program        the plan for bounding a node of a graph
    region         the input regions of D domains
    layout         where weights and rows lie
    tile_elements  the most numbers in a coefficient tensor of a tile
    check          a function that is called between waves of tiles and may raise, to stop in time;
                   also between nodes, where the layout allows it
    rounding       the arithmetics whose errors are subtracted from bounds (None: no errors are)
    """

    program: Program
    region: Region
    layout: DeviceLayout
    tile_elements: int = 2**23
    check: Callable[[], None] = lambda: None
    rounding: Rounding | None = None

    @property
    def look(self) -> Callable[[], None]:
        """`check` where it may be called at any time, and else a function that does nothing."""
        return self.check if self.layout.looks_between_nodes else no_look

    def tiles(self, start: str, rows: Rows, *, gradients: bool = False) -> tuple[Tile, ...]:
        """Divide rows of a start node into tiles, which are smaller if `gradients` is true."""
        windows = False
        if isinstance(rows, UnitRows) and self.layout.windows:
            windows = windowed_row(self.program, start, gradients) is not None
            spatial = spatial_axes(self.program.graph[start].shape) if windows else 0
            rows = replace(rows, spatial=spatial)
        domains, most = self.region.domains, self.tile_elements
        cut = tiling(self.program, start, domains, rows.count, most, gradients, windows)
        equal = windows and not gradients
        return tuple(into_tiles(start, rows, cut.height, cut.divisions, equal=equal))

    def forms(self, tile: Tile) -> set[tuple[str, bool]]:
        """Return the nodes that a tile passes, by name, and True where its rows lie in windows."""
        stay = whole_stay(self.layout.device, self.layout.dtype)
        return forms(self.program, tile, whole_stay=stay)

    def fixed_lines(self, bounds: Mapping[str, Interval]) -> FixedLines:
        """Create CROWN's relaxations of this rank's share of the neurons."""
        return FixedLines(bounds, self.layout.share(self.program).bounds)
