"""Rows that are zero outside of a window of a map.

A row that starts at one neuron of a convolution depends on a small window of every map before it.
`Windows` stores the coefficients in the window alone. All windows of a tile have one size, and only
their places differ.

The maps have the shape `(*features, *spatial)`. Coefficients are stored with the features last, so
that a convolution is one matrix product, and a read copies runs of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from boundmesh.kernels import fused_windows, launcher
from boundmesh.kernels.fused_windows import Reach
from boundmesh.operators.node import Shape
from boundmesh.operators.rounding import CHUNK
from boundmesh.operators.window_sums import sums


@dataclass(frozen=True)
class Span:
    """The windows along one spatial axis of a map.

    The window of a row that started at place p of this axis covers the places
    `p·step + shift ≤ i < p·step + shift + length` of the map. Those outside of `0 ≤ i < whole` do
    not exist, and their coefficients are zero.
    """

    step: int
    shift: int
    length: int
    whole: int

    def joined(self, other: Span) -> Span | None:
        """Return the smallest span that contains both; None if their distance varies."""
        if (self.step, self.whole) != (other.step, other.whole):
            return None
        first = min(self.shift, other.shift)
        last = max(self.shift + self.length, other.shift + other.length)
        return Span(self.step, first, last - first, self.whole)


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the windows of S rows lie in their maps.

    places  `[S, n]` (int64), the place of each row's neuron in the map of the start node
    spans   the window along each of the n spatial axes
    """

    places: Tensor
    spans: tuple[Span, ...]

    @property
    def rows(self) -> int:
        return len(self.places)

    @property
    def window(self) -> Shape:
        """The lengths of the windows."""
        return tuple(span.length for span in self.spans)

    @property
    def whole(self) -> Shape:
        """The lengths of the map."""
        return tuple(span.whole for span in self.spans)

    @property
    def saves(self) -> bool:
        """True if a window has fewer places than the map."""
        return prod(self.window) < prod(self.whole)

    @cached_property
    def _along(self) -> list[Tensor]:
        """The places `[S, length]` of the windows along each axis."""
        return [
            self.places[:, axis, None] * span.step
            + torch.arange(span.shift, span.shift + span.length, device=self.places.device)
            for axis, span in enumerate(self.spans)
        ]

    @cached_property
    def outside(self) -> Tensor:
        """`[S, *window]`, true at the places that do not exist."""
        missing = [
            (along < 0) | (along >= span.whole)
            for along, span in zip(self._along, self.spans, strict=True)
        ]
        total = missing[0]
        for mask in missing[1:]:
            total = total.unsqueeze(-1) | _after(mask, total)
        return total

    @cached_property
    def positions(self) -> Tensor:
        """`[S · window]`, flat places in the map; places that do not exist have its size."""
        flat = None
        for along, span in zip(self._along, self.spans, strict=True):
            flat = (
                along.clone()
                if flat is None
                else flat.unsqueeze(-1) * span.whole + _after(along, flat)
            )
        assert flat is not None
        return flat.masked_fill_(self.outside, prod(self.whole)).flatten()

    @cached_property
    def reach(self) -> Reach:
        """Where the windows lie, as kernels take it."""
        return Reach.of(self.places, [(s.step, s.shift, s.length, s.whole) for s in self.spans])

    @cached_property
    def sources(self) -> tuple[Tensor, Tensor]:
        """Where the coefficient of each place of each row's map stands among those of all rows.

        The first tensor has the places `[S · map]`. The second `[S, map]` is true at those outside
        of the row's window, whose place is 0.
        """
        flat = covered = None
        for axis, span in enumerate(self.spans):
            first = self.places[:, axis, None] * span.step + span.shift
            along = torch.arange(span.whole, device=self.places.device) - first
            within = (along >= 0) & (along < span.length)
            if flat is None or covered is None:
                flat, covered = along, within
            else:
                flat = flat.unsqueeze(-1) * span.length + _after(along, flat)
                covered = covered.unsqueeze(-1) & _after(within, covered)
        assert flat is not None and covered is not None
        flat, covered = flat.flatten(1), covered.flatten(1)
        rows = torch.arange(self.rows, device=flat.device).unsqueeze(1) * prod(self.window)
        return torch.where(covered, flat + rows, 0).flatten(), ~covered


@dataclass(frozen=True)
class Neurons:
    """Where some neurons of a map stand in the windows of S rows.

    index    `[S · U]`, the place of each neuron among the coefficients of all rows; if it lies
             outside of the row's window, the place of another coefficient of the row
    outside  `[S, U]`, true where the neuron lies outside of the row's window
    """

    index: Tensor
    outside: Tensor


@dataclass(frozen=True)
class Windows:
    """The coefficients of S rows in their windows.

    coefficients  `[D or 1, S, *window, C]` with C = prod(features); zero at the places that do not
                  exist
    grid          where the windows lie
    features      the axes of the map before the spatial ones, which windows contain whole
    """

    coefficients: Tensor
    grid: Grid
    features: Shape

    @property
    def count(self) -> int:
        """The number of rows."""
        return self.coefficients.shape[1]

    @property
    def shape(self) -> Shape:
        """The shape of the map."""
        return (*self.features, *self.grid.whole)

    def with_coefficients(self, coefficients: Tensor) -> Windows:
        return Windows(coefficients, self.grid, self.features)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Windows:
        """Return the same rows on another device, or in another type."""
        grid = Grid(self.grid.places.to(device), self.grid.spans)
        return Windows(self.coefficients.to(device, dtype), grid, self.features)

    def table(self, values: Tensor) -> Tensor:
        """Return maps `[D or 1, (1,) *shape]` with the features last, `[D or 1, places, C]`."""
        wide, places = prod(self.features), prod(self.grid.whole)
        return values.reshape(len(values), wide, places).mT.contiguous()

    def inner(self, values: Tensor) -> Tensor:
        """Return `⟨A, values⟩` `[D, S]`; values broadcast to the coefficients."""
        return sums(self.coefficients * values)

    def inner_features(self, values: Tensor) -> Tensor:
        """Return `⟨A, values⟩` `[D, S]` for values `[C]` that are the same at all places."""
        if fused_windows.applies(self.coefficients):
            same = values.reshape(1, -1)
            return fused_windows.signed_sums(self.coefficients, same, same, self.grid.reach)
        places, wide = prod(self.grid.window), self.coefficients.shape[-1]
        if max(places, wide) > CHUNK or not launcher.on_cpu(self.coefficients):
            return self.inner(values)
        # A number passes at most `wide + places` roundings, which is no more than `sums` counts,
        # because (CHUNK - wide)·(CHUNK - places) ≥ 0.
        at_places = torch.matmul(self.coefficients, values)
        return at_places.flatten(2).sum(2)

    def dense(self) -> Tensor:
        """Write the coefficients out, `[D or 1, S, *shape]`."""
        if torch.is_grad_enabled():
            result: Tensor = _WriteOut.apply(self.coefficients, self)
            return result
        return self._dense(self.coefficients)

    def _dense(self, coefficients: Tensor) -> Tensor:
        sources, outside = self.grid.sources
        flat = coefficients.flatten(1, -2)
        if not flat.shape[1]:
            return flat.new_zeros(len(flat), self.count, *self.shape)
        found = flat.index_select(1, sources).unflatten(1, outside.shape)
        found.masked_fill_(outside.unsqueeze(2), 0)
        result: Tensor = found.movedim(-1, 2).reshape(len(flat), self.count, *self.shape)
        return result

    def cut(self, rows: Tensor) -> Tensor:
        """Return the coefficients that dense rows `[D, S, *shape]` have in the windows."""
        places = prod(self.grid.whole)
        wide = self.coefficients.shape[-1]
        table = rows.reshape(len(rows), self.count, wide, places).mT.flatten(1, 2)
        window = self.grid.positions.reshape(self.count, prod(self.grid.window))
        missing = window == places
        first = torch.arange(self.count, device=rows.device).unsqueeze(1) * places
        found = table.index_select(1, (window.masked_fill(missing, 0) + first).flatten())
        found = found.unflatten(1, window.shape).masked_fill_(missing.unsqueeze(-1), 0)
        return torch.reshape(found, (len(rows), *self.coefficients.shape[1:]))

    def read(self, values: Tensor) -> Tensor:
        """Read maps `[D or 1, 1, *shape]` at the windows, `[D or 1, S, *window, C]`.

        The result is zero at the places that do not exist.
        """
        table = values.reshape(len(values), prod(self.features), prod(self.grid.whole)).mT
        table = torch.cat([table, table.new_zeros(len(table), 1, table.shape[2])], 1)
        found = table.index_select(1, self.grid.positions)
        return found.reshape(len(values), *self.coefficients.shape[1:])

    def find(self, index: Tensor) -> Neurons:
        """Find the flat neurons `index` `[U]` of the map in the windows."""
        grid, wide = self.grid, self.coefficients.shape[-1]
        feature = index.div(prod(grid.whole), rounding_mode="floor")
        rest = index - feature * prod(grid.whole)
        flat = torch.arange(grid.rows, device=index.device).unsqueeze(1)
        missing: Tensor | None = None
        for axis, span in enumerate(grid.spans):
            run = prod(grid.whole[axis + 1 :])
            place = rest.div(run, rounding_mode="floor")
            rest = rest - place * run
            along = place - (grid.places[:, axis, None] * span.step + span.shift)
            near = along.clamp(0, span.length - 1)
            out = near != along
            missing = out if missing is None else missing | out
            flat = flat * span.length + near
        assert missing is not None
        return Neurons((flat * wide + feature).flatten(), missing)

    def at(self, neurons: Neurons) -> Tensor:
        """Return the coefficients `[D or 1, S, U]` of neurons; zero outside of the windows."""
        found = self.coefficients.flatten(1).index_select(1, neurons.index)
        return found.reshape(len(found), *neurons.outside.shape).masked_fill(neurons.outside, 0)

    def with_neurons(self, neurons: Neurons, values: Tensor) -> Windows:
        """Add values `[D or 1, S, U]` to the coefficients of neurons, where these are zero.

        Values of neurons outside of the windows count as zero.
        """
        values = values.masked_fill(neurons.outside, 0)
        flat = self.coefficients.flatten(1)
        if len(values) > len(flat):
            flat = flat.expand(len(values), -1)
        # Every coefficient receives at most one value that is not zero, so the order of the
        # additions does not matter.
        total = flat.index_add(1, neurons.index, values.flatten(1))
        return self.with_coefficients(total.reshape(len(total), *self.coefficients.shape[1:]))

    def plus(self, other: Windows) -> Windows | None:
        """Add rows of the same map; None if no window of one size contains both."""
        mine, others = self.grid.spans, other.grid.spans
        if mine == others:
            return self.with_coefficients(self.coefficients + other.coefficients)
        spans = [one.joined(two) for one, two in zip(mine, others, strict=True)]
        known = tuple(span for span in spans if span is not None)
        if len(known) < len(spans):
            return None
        one, two = (
            functional.pad(each.coefficients, _widths(each.grid.spans, known))
            for each in (self, other)
        )
        return Windows(one + two, Grid(self.grid.places, known), self.features)


@dataclass(frozen=True)
class PulledWindows:
    """Rows in windows after they were pulled back through one operator.

    windows  one per input of the operator
    bias     `[D, S]`, the constant that the operator adds to each row; None stands for zero
    """

    windows: tuple[Windows, ...]
    bias: Tensor | None = None


def unit_windows(index: Tensor, sign: Tensor, shape: Shape, spatial: int) -> Windows:
    """Create the rows `sign[s]·e_index[s]` of a map whose last `spatial` axes are spatial."""
    features, whole = shape[:-spatial], shape[-spatial:]
    places = []
    rest = index
    for length in reversed(whole):
        places.append(rest % length)
        rest = rest // length
    grid = Grid(torch.stack(places[::-1], 1), tuple(Span(1, 0, 1, length) for length in whole))
    wide = prod(features)
    coefficients = sign.new_zeros(len(index), wide).scatter(1, rest[:, None], sign[:, None])
    ones = (1,) * spatial
    return Windows(coefficients.reshape(1, len(index), *ones, wide), grid, features)


class _WriteOut(torch.autograd.Function):
    """`Windows.dense`. Its gradient is cut at the windows."""

    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, windows: Windows) -> Tensor:
        ctx.windows = windows.with_coefficients(coefficients[:0])
        return windows._dense(coefficients)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.windows.cut(gradient), None


def _widths(part: Sequence[Span], whole: Sequence[Span]) -> list[int]:
    """Return how far windows `part` are padded to become `whole`, as `functional.pad` takes it."""
    widths = [0, 0]
    for mine, outer in reversed([*zip(part, whole, strict=True)]):
        before = mine.shift - outer.shift
        widths += [before, outer.length - mine.length - before]
    return widths


def _after(along: Tensor, like: Tensor) -> Tensor:
    """Reshape `[S, n]` so that it broadcasts over a new last dim of `like` `[S, *]`."""
    return along.reshape(len(along), *(1,) * (like.dim() - 1), along.shape[1])
