"""Defines what a backward sweep uses of a layout, which divides rows and weights among ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from boundmesh.bounds.relaxation.drawn import Drawn
from boundmesh.bounds.sweep.node_weights import NodeWeights
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import Division, Tile
from boundmesh.bounds.sweep.tape import WeightStream
from boundmesh.kernels.pieces import Pieces
from boundmesh.operators.node import Node

Draw = Callable[[Node, Tile], Drawn | Pieces]
"""A function that computes the relaxation of a nonlinear node for the rows of a tile."""


class SweepState(Protocol):
    """The state of a sweep of some tiles of one start node; it hides how ranks divide the rows."""

    def pass_node(self, node_weights: NodeWeights, draw: Draw) -> None:
        """Pull the tiles back through one node. The caller passes nodes in the sweep's order."""
        ...

    def parts(self, division: Division) -> Sequence[SweepState]:
        """Divide the rows of every tile into parts, each with a state of its own."""
        ...

    def lowest(self) -> list[Tensor]:
        """Return lower bounds `[D, S]` of each tile's rows, after the last node was passed."""
        ...


class SweepLayout(WeightStream, Protocol):
    """The part of `DeviceLayout` that a sweep uses."""

    @property
    def whole_rows(self) -> SweepLayout:
        """A layout in which a rank holds all coefficients of the rows that it works on."""
        ...

    @property
    def looks_between_nodes(self) -> bool:
        """True if the clock may be looked at between any two nodes."""
        ...

    def sweep_state(
        self,
        program: Program,
        region: Region,
        tiles: Sequence[Tile],
        errors: Errors | None = None,
    ) -> SweepState:
        """Create the state of a sweep of tiles of one start node, before its first node."""
        ...
