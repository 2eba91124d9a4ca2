"""Holds the state of one tile of rows during a backward sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from boundmesh.bounds.sweep.region import Region
from boundmesh.bounds.sweep.rounding_errors import Errors, lowered, magnitude
from boundmesh.bounds.sweep.rows import DenseRows, Tile, UnitRows
from boundmesh.bounds.sweep.window_rows import dense, minimum, part_of, smallest, total
from boundmesh.kernels.sums import Collected, added
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.windows import PulledWindows, Windows


class TileState:
    """The state of one tile during a sweep.

    tile    the rows at their start node
    coefficients
            `[D or 1, S, *shape]` at the output of each node that is not passed yet; `Windows` where
            they lie in windows
    bias    `[D or 1, S]`, the constants collected so far (None: zero)
    error   `[D, S]`, the most that rounding can have changed the rows so far (None: zero)
    watch   names of nodes whose coefficients are kept
    seen    the coefficients at the outputs of the nodes in `watch`
    errors  the rounding error of rows at each node (None: rounding is not counted)
    """

    def __init__(
        self,
        tile: Tile,
        watch: frozenset[str] = frozenset(),
        errors: Errors | None = None,
    ) -> None:
        self.tile, self.watch, self.errors = tile, watch, errors
        self.error: Tensor | None = None
        self.seen: dict[str, Tensor] = {}
        self.coefficients: dict[str, Tensor | Windows] = {}
        self.bias: Tensor | None = None

    def part(self, rows: slice) -> TileState:
        """Return the state of some of the rows. Its tensors are views of these."""
        part = TileState(self.tile.part(rows), self.watch, self.errors)
        part.coefficients = {
            name: part_of(rows_at_node, rows) for name, rows_at_node in self.coefficients.items()
        }
        part.seen = {name: rows_at_node[:, rows] for name, rows_at_node in self.seen.items()}
        part.bias = None if self.bias is None else self.bias[:, rows]
        part.error = None if self.error is None else self.error[:, rows]
        return part

    def mapped(self, change: Callable[[Tensor], Tensor]) -> TileState:
        """Return a copy in which `change` replaced every tensor, in a fixed order."""
        copied = TileState(self.tile.mapped(change), self.watch, self.errors)
        copied.coefficients = {
            name: change(rows) if isinstance(rows, Tensor) else rows.mapped(change)
            for name, rows in self.coefficients.items()
        }
        copied.seen = {name: change(rows) for name, rows in self.seen.items()}
        copied.bias = None if self.bias is None else change(self.bias)
        copied.error = None if self.error is None else change(self.error)
        return copied

    def begin(self, node: Node) -> None:
        """Write out the coefficients of the rows at their start node."""
        rows = self.tile.rows
        self.coefficients[node.name] = rows.begin(node)
        if self.errors is not None and isinstance(rows, DenseRows) and rows.deviation is not None:
            self.error = added(self.error, magnitude(rows.deviation, self.errors.reach[node.name]))

    def error_of_units(self, node: Node, rows: UnitRows) -> Tensor | None:
        """Return the error with that of rows of single neurons at their start node."""
        if self.errors is None:
            return self.error
        return added(self.error, self.errors.of_units(node.name, rows.index))

    def take(self, node: Node) -> tuple[Tensor | Windows, Collected]:
        """Remove the coefficients at the output of the node that is passed now.

        They are returned with what they collected, including their rounding error there.
        """
        rows = self.coefficients.pop(node.name)
        if node.name in self.watch:
            self.seen[node.name] = dense(rows)
        if self.errors is None:
            return rows, Collected(self.bias, self.error)
        return rows, self.errors.collected(node.name, rows, self.bias, self.error)

    def add(self, node: Node, pulled: Pulled | PulledWindows, collected: Collected) -> None:
        """Add the coefficients that a node passes to its inputs, and replace what is collected.

        Where several nodes read one value, the coefficients at that value add up. Windows as large
        as the map become dense.
        """
        self.bias, self.error = collected.bias, collected.error
        passed: Sequence[Tensor | Windows | None] = (
            pulled.windows if isinstance(pulled, PulledWindows) else pulled.coefficients
        )
        for name, rows in zip(node.inputs, passed, strict=True):
            if rows is not None:
                known = self.coefficients.get(name)
                self.coefficients[name] = smallest(rows if known is None else total(known, rows))

    def minimum(self, input_name: str, region: Region) -> Tensor:
        """Return lower bounds `[D, S]`. Rows that do not depend on the input equal their bias."""
        rows = self.coefficients.get(input_name)
        lowest = self.bias if rows is None else minimum(region, rows, self.bias)
        assert lowest is not None
        lowest = lowered(lowest, self.total_error(input_name), self.errors)
        return lowest.expand(max(region.domains, len(lowest)), self.tile.rows.count)

    def total_error(self, input_name: str) -> Tensor | None:
        """Return the rounding error `[D, S]` of the whole sweep, including that at the input."""
        rows = self.coefficients.get(input_name)
        if self.errors is None or rows is None:
            return self.error
        return self.errors.of_rows(input_name, rows, self.error)

    def dense_at(self, name: str) -> Tensor | None:
        """Return the coefficients `[D or 1, S, *shape]` at a node; None if rows do not reach it."""
        rows = self.coefficients.get(name)
        return None if rows is None else dense(rows)

    def at_input(self, input_name: str, like: Tensor) -> Tensor:
        """Return the rows at the input, `[D, S, *input_shape]`; a scalar zero if there are none."""
        rows = self.dense_at(input_name)
        return like.new_zeros(()) if rows is None else rows
