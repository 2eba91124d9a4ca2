"""Pulls tiles back along the path that a sweep still has before it, stretch after stretch.

A stretch ends where tiles are divided. Their parts then pass the rest one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from boundmesh.bounds.sweep.node_weights import NodeWeights
from boundmesh.bounds.sweep.parts import without
from boundmesh.bounds.sweep.recorded_parts import Lowest
from boundmesh.bounds.sweep.repeats import Repeat, Repeats
from boundmesh.bounds.sweep.rows import Division
from boundmesh.bounds.sweep.sweep_state import Draw, SweepState
from boundmesh.bounds.sweep.whole_rows import WholeRows
from boundmesh.operators.node import Node

WeightsOf = Callable[[Node], NodeWeights]
"""A function that returns a node with its weights; a sweep calls it once for each pass."""


@dataclass(frozen=True)
class RemainingPath:
    """The path that tiles of a sweep still have before them.

    order      the nodes, last first
    divisions  how tiles are divided in front of some nodes, by name
    weights    returns a node with its weights
    draw       computes relaxations
    repeats    the stretches that are recorded
    look       is called before each node, and raises where the sweep must end
    """

    order: Sequence[Node]
    divisions: Mapping[str, Division]
    weights: WeightsOf
    draw: Draw
    repeats: Repeats
    look: Callable[[], None]

    @cached_property
    def stretch(self) -> int:
        """How many nodes tiles pass before they are divided, or reach the input."""
        indices = (index for index, node in enumerate(self.order) if node.name in self.divisions)
        return next(indices, len(self.order))

    def to_division(self, tiles: WholeRows) -> WholeRows:
        """Pull tiles back to where they are divided next."""
        pass_stretch(tiles, self)
        return tiles

    def to_input(self, tiles: WholeRows) -> Lowest:
        """Pull tiles back to the input without further recordings."""
        return Lowest(pull_back(tiles, replace(self, repeats={})))

    def rehearse(self, repeat: Repeat) -> Callable[[WholeRows], None]:
        """Return a function that passes the fresh nodes of a stretch.

        A node is fresh if something that all parts share, such as its relaxation, is not computed
        yet. That must not be recorded, so one part passes these nodes before the recording.
        """

        def passed(part: WholeRows) -> None:
            fresh = self.order[: repeat.stretch.fresh]
            for node in fresh:
                if node.name in self.divisions:
                    part = part.parts(self.divisions[node.name])[0]
                part.pass_node(self.weights(node), self.draw)
            if len(fresh) == len(self.order):
                part.lowest()

        return passed


def pull_back(state: SweepState, path: RemainingPath) -> list[Tensor]:
    """Pull tiles back to the input; return lower bounds `[D, S]` of each."""
    repeat = path.repeats.get(path.order[0].name)
    if repeat is None:
        pass_stretch(state, path)
        return _finish(state, path)
    assert isinstance(state, WholeRows)
    if repeat.stretch.last:
        recorded = repeat.run(state, path.to_input, path.rehearse(repeat))
        return [bounds.clone() for bounds in recorded.bounds]
    return _finish(repeat.run(state, path.to_division, path.rehearse(repeat)), path)


def pass_stretch(state: SweepState, path: RemainingPath) -> None:
    """Pull tiles back to their next division, or to the input."""
    for node in path.order[: path.stretch]:
        path.look()
        state.pass_node(path.weights(node), path.draw)


def _finish(state: SweepState, path: RemainingPath) -> list[Tensor]:
    """Pull tiles that have passed a stretch back to the input."""
    if path.stretch == len(path.order):
        return state.lowest()
    parts, path = divide(state, path)
    by_part = [pull_back(part, path) for part in parts]
    return [torch.cat(tile_parts, 1) for tile_parts in zip(*by_part, strict=True)]


def divide(state: SweepState, path: RemainingPath) -> tuple[Sequence[SweepState], RemainingPath]:
    """Divide tiles that have passed a stretch; return their parts and the rest of the way."""
    name, rest = path.order[path.stretch].name, path.order[path.stretch :]
    divisions = without(path.divisions, name)
    return state.parts(path.divisions[name]), replace(path, order=rest, divisions=divisions)
