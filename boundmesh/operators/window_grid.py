"""Describes where windows lie in their maps.

A row that starts at one neuron of a convolution depends on a small window of every map before it.
All windows of a tile have one size, and only their places differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from boundmesh.kernels.fused_windows import Reach
from boundmesh.operators.node import Shape


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

    def read_by(self, kernel: int, stride: int, dilation: int, before: int, whole: int) -> Span:
        """Return the span of the places that a kernel reads when it computes those of this span.

        `before` is the width of the padding in front, and `whole` the length of the axis there. If
        all rows have the same window, only its places that exist are returned.
        """
        length, shift = reach(self.length, kernel, stride, dilation), self.shift * stride - before
        if self.step:
            return Span(self.step * stride, shift, length, whole)
        first, last = max(shift, 0), min(shift + length, whole)
        return Span(0, first, last - first, whole)

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
    three   the places along three axes, as kernels take them, if they are known
    origin  what the places are counted from. Windows are added only where it is the same: the
            neuron of the start node, or the node at which each row got a place of its own
    """

    places: Tensor
    spans: tuple[Span, ...]
    three: Tensor | None = None
    origin: str = ""

    def moved(self, spans: Sequence[Span]) -> Grid:
        """Return other windows of the same rows."""
        return Grid(self.places, tuple(spans), self._three, self.origin)

    def part(self, rows: slice) -> Grid:
        """Return the windows of some of the rows."""
        return Grid(self.places[rows], self.spans, self._three[rows], self.origin)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Grid:
        """Return a copy in which `change` replaced the places."""
        return Grid(change(self.places), self.spans, change(self._three), self.origin)

    def filled(self) -> Grid:
        """Return windows of the same rows that are the whole map."""
        return self.moved([Span(0, 0, span.whole, span.whole) for span in self.spans])

    def read_by(
        self,
        kernel: Sequence[int],
        stride: Sequence[int],
        dilation: Sequence[int],
        padding: Sequence[tuple[int, int]],
        whole: Shape,
    ) -> Grid:
        """Return the windows of the places that a kernel reads when it computes these windows."""
        axes = zip(self.spans, kernel, stride, dilation, padding, whole, strict=True)
        spans = (span.read_by(k, s, d, before, n) for span, k, s, d, (before, _), n in axes)
        return self.moved([*spans])

    def left_out(
        self, read: Grid, stride: Sequence[int], padding: Sequence[tuple[int, int]]
    ) -> list[int]:
        """Return how many places in front of each axis `read`, the result of `read_by`, leaves out.

        They do not exist, and where all rows have the same window, none of them is stored.
        """
        axes = zip(read.spans, self.spans, stride, padding, strict=True)
        return [
            read_span.shift - (span.shift * s - before) for read_span, span, s, (before, _) in axes
        ]

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

    @property
    def full(self) -> bool:
        """True if every window is the whole map."""
        return all(
            (span.step, span.shift, span.length) == (0, 0, span.whole) for span in self.spans
        )

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
        return Reach.of(self._three, [(s.step, s.shift, s.length, s.whole) for s in self.spans])

    @cached_property
    def _three(self) -> Tensor:
        if self.three is not None:
            return self.three
        return functional.pad(self.places, (3 - len(self.spans), 0)).contiguous()

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


def reach(length: int, kernel: int, stride: int, dilation: int) -> int:
    """Return how many places a kernel reads when it computes `length` places."""
    return (length - 1) * stride + (kernel - 1) * dilation + 1


def widths(part: Sequence[Span], whole: Sequence[Span]) -> list[int]:
    """Return how far windows `part` are padded to become `whole`, as `functional.pad` takes it."""
    widths = [0, 0]
    for inner, outer in reversed([*zip(part, whole, strict=True)]):
        before = inner.shift - outer.shift
        widths += [before, outer.length - inner.length - before]
    return widths


def _after(along: Tensor, like: Tensor) -> Tensor:
    """Reshape `[S, n]` so that it broadcasts over a new last dim of `like` `[S, *]`."""
    return along.reshape(len(along), *(1,) * (like.dim() - 1), along.shape[1])
