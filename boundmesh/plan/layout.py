"""A layout for computations on shapes: it runs a few tiles, and counts them for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from torch import Tensor

from boundmesh.bounds.sweep.charge import Charge
from boundmesh.bounds.sweep.largest_row import one_by_one
from boundmesh.bounds.sweep.layout import DeviceLayout, Share, Value
from boundmesh.bounds.sweep.node_weights import NodeWeights, Visit
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.bounds.sweep.sweep_state import SweepState
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.plan.meter import Meter
from boundmesh.plan.neurons import Unstable


class SampledLayout(DeviceLayout):
    """A layout that runs the first `tiles` tiles of every start node.

    The other tiles are no higher. So their peak of memory is no larger, and their time is counted
    in proportion to their rows. The layout `inner` does everything else.
    """

    def __init__(self, inner: DeviceLayout, meter: Meter, unstable: Unstable, tiles: int) -> None:
        self.device, self.dtype, self.wave = inner.device, inner.dtype, inner.wave
        self.recordable, self.dealers = inner.recordable, inner.dealers
        self.windows = inner.windows
        self._inner, self._meter, self._unstable = inner, meter, unstable
        self._tiles = tiles
        self._parts: dict[str, float] = {}
        self._dealt: Sequence[Tile] = ()

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return self._inner.weights

    @property
    def whole_rows(self) -> DeviceLayout:
        return self._again(self._inner.whole_rows)

    @property
    def own_domains(self) -> DeviceLayout:
        return self._again(self._inner.own_domains)

    def _again(self, inner: DeviceLayout) -> SampledLayout:
        found = SampledLayout(inner, self._meter, self._unstable, self._tiles)
        found._parts = self._parts
        return found

    def in_float64(self) -> DeviceLayout:
        return self._again(self._inner.in_float64())

    def stream(self, visits: Iterable[Visit]) -> Iterator[NodeWeights]:
        return self._inner.stream(visits)

    def holds(self, nodes: Iterable[Node]) -> bool:
        return self._inner.holds(nodes)

    def holding(self, nodes: Sequence[Node], most: int) -> AbstractContextManager[frozenset[str]]:
        return self._inner.holding(nodes, most)

    def on_any_rank(self, mask: Tensor) -> Tensor:
        return self._inner.on_any_rank(mask)

    def agree(self, value: Value) -> Value:
        return self._inner.agree(value)

    def without_fetched_weights(self) -> AbstractContextManager[object]:
        return self._inner.without_fetched_weights()

    def for_tiles(self, tiles: Sequence[Tile], domains: int) -> DeviceLayout:
        return self._again(self._inner.for_tiles(tiles, domains))

    def deal(self, tiles: Sequence[Tile]) -> Sequence[Tile]:
        """Return a sample of the tiles of this rank."""
        own_tiles = self._inner.deal(tiles)
        self._dealt = own_tiles
        sample = own_tiles[: self._tiles]
        rows, run = (sum(tile.rows.count for tile in dealt) for dealt in (own_tiles, sample))
        self._parts[tiles[0].start] = self._meter.copies = rows / max(1, run)
        return sample

    def join(self, results: Sequence[Tensor], widths: Sequence[int]) -> Sequence[Tensor]:
        self._meter.copies = self._meter.times = 1.0
        left = [results[0][:, : tile.rows.count] for tile in self._dealt[len(results) :]]
        return self._inner.join([*results, *left], widths)

    def join_gradients(
        self, gradients: Sequence[Tensor], widths: Sequence[int]
    ) -> Sequence[Tensor]:
        self._meter.copies = self._meter.times = 1.0
        left = [gradients[0]] * (len(self._dealt) - len(gradients))
        return self._inner.join_gradients([*gradients, *left], widths)

    def share(self, program: Program) -> Share:
        return _CountedShare(self._inner.share(program), self._meter, self._unstable)

    def sweep_state(
        self,
        program: Program,
        region: Region,
        tiles: Sequence[Tile],
        errors: Errors | None = None,
    ) -> SweepState:
        start = tiles[0].start
        self._meter.copies = self._meter.times = self._parts[start]
        return self._inner.sweep_state(program, region, tiles, errors)

    def interval(self, node_weights: NodeWeights, boxes: Sequence[Interval]) -> Interval:
        return self._inner.interval(node_weights, boxes)

    def outward(
        self, node_weights: NodeWeights, boxes: Sequence[Interval], charge: Charge
    ) -> tuple[Interval, Tensor | None]:
        return self._inner.outward(node_weights, boxes, charge)


class _CountedShare:
    """A share that announces the neurons of which node are counted next."""

    def __init__(self, inner: Share, meter: Meter, unstable: Unstable) -> None:
        self._inner, self._meter, self._unstable = inner, meter, unstable

    def node(self, node: Node) -> Node:
        count = self._unstable.slopes(node.inputs[0], all_or_none=not one_by_one(node))
        self._meter.expected = count
        return self._inner.node(node)

    def bounds(self, bounds: Mapping[str, Interval]) -> Mapping[str, Interval]:
        # The bounds of one node are asked for to draw its lines.
        if len(bounds) == 1:
            (start,) = bounds
            self._meter.expected = self._unstable.slopes(start)
        return self._inner.bounds(bounds)
