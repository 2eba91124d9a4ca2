"""Records the sweeps of a start node while the GPU still works on those of the node before.

The host must wait for the bounds of one start node before it can find which neurons of the next
are unstable. What a recording holds depends on the heights of parts alone, and `fixed_tiling`
determines these before. So the host records in the time in which it would wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.fixed_lines import FixedLines
from boundmesh.bounds.sweep.backward import Wave, record
from boundmesh.bounds.sweep.largest_row import spatial_axes
from boundmesh.bounds.sweep.repeats import Repeat, Repeats
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import Division, Tile, UnitRows
from boundmesh.bounds.sweep.stretches import stretches
from boundmesh.bounds.sweep.tile_heights import LEAST_TILES, first_part, fixed_tiling
from boundmesh.kernels.once import keeping
from boundmesh.kernels.recorded import busy


@dataclass(frozen=True)
class Ahead:
    """Recordings that were made before the rows of their start node were known.

    heights  the number of rows of a part after each division, by the name of the node behind it
    repeats  the recorded stretches; each begins at a division
    """

    heights: Mapping[str, int] = field(default_factory=dict)
    repeats: Repeats = field(default_factory=dict)

    def instead_of(self, others: Repeats, tile: Tile) -> Repeats:
        """Return these recordings if they fit a tile, and `others` if not.

        A stretch before them must not be recorded any more. The recordings share their memory, so
        its results would lie where the kernels of these recordings write.
        """
        fits = self.heights == {name: division.height for name, division in tile.divisions.items()}
        return self.repeats if fits and self.repeats else others


NOTHING = Ahead()


def recorded_ahead(problem: Problem, start: str, draw: FixedLines, errors: Errors | None) -> Ahead:
    """Record the sweeps of rows of `start` in windows, if the GPU is busy meanwhile."""
    layout, program, order = problem.layout, problem.program, problem.program.order(start)
    possible = layout.windows and layout.wave == 1 and layout.holds(order)
    if not possible or not busy(layout.device):
        return NOTHING
    domains = problem.region.domains
    fixed = fixed_tiling(program, start, domains, problem.tile_elements)
    if fixed is None:
        return NOTHING
    tile = _example(problem, start, first_part(fixed), fixed.divisions)
    passed = problem.forms(tile)
    known = draw.known(passed)
    planned = stretches(order, fixed.divisions, fixed.height, LEAST_TILES, known)
    later = [stretch for stretch in planned if stretch.first in fixed.divisions]
    repeats = {stretch.first: Repeat(stretch, layout.device) for stretch in later}
    if not repeats:
        return NOTHING
    with keeping(draw.tables):
        record(layout, program, problem.region, Wave([tile], draw), errors, repeats)
    draw.passed |= passed
    return Ahead({name: stretch.height for name, stretch in fixed.divisions.items()}, repeats)


def _example(problem: Problem, start: str, height: int, divisions: Mapping[str, Division]) -> Tile:
    """Return a tile of `height` unit rows, which is one part after the first division."""
    node, layout = problem.program.graph[start], problem.layout
    index = torch.arange(height, device=layout.device) % node.size
    sign = torch.ones(height, dtype=layout.dtype, device=layout.device)
    spatial = spatial_axes(node.shape)
    rows = UnitRows(index, sign, np.arange(height) % node.size, spatial)
    first = next(iter(divisions))
    return Tile(start, slice(0, height), rows, {**divisions, first: Division(1, height)})
