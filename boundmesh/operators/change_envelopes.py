"""Envelopes of the change of φ: functions of d between which `e = φ(z + d) − φ(z)` lies.

The words are those of `boundmesh.operators.change`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from boundmesh.operators.curve import reach_of
from boundmesh.operators.derivatives import SLOPES
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.operator import RULES
from boundmesh.operators.rounding import FUNCTION

Envelope = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Known:
    """Bounds of z, of d and of w = z + d. Each was cut to what the other two allow."""

    z: Interval
    d: Interval
    w: Interval

    @staticmethod
    def of(boxes: tuple[Interval, ...]) -> Known:
        """Intersect the bounds of each with what those of the other two leave."""
        z, d, w = boxes
        d = d.intersect(outer_sum(w, Interval(-z.upper, -z.lower)))
        w = w.intersect(outer_sum(z, d))
        return Known(z.intersect(outer_sum(w, Interval(-d.upper, -d.lower))), d, w)

    @property
    def hull(self) -> Interval:
        """The box of z and w together."""
        lower = torch.minimum(self.z.lower, self.w.lower)
        return Interval(lower, torch.maximum(self.z.upper, self.w.upper))


def outer_sum(x: Interval, y: Interval) -> Interval:
    """Return the box of x + y, moved outward by the rounding of the sums."""
    low, high = x.lower + y.lower, x.upper + y.upper
    return Interval(next_to(low, -1), next_to(high, 1))


def next_to(x: Tensor, side: int) -> Tensor:
    """Return a number below (side −1) or above (side 1) x that no rounding of x can pass."""
    number = torch.finfo(x.dtype)
    return x + side * (number.eps * x.detach().abs() + number.tiny)


@dataclass(frozen=True)
class Envelopes:
    """Functions of d between which e lies, piecewise linear, with knots at some values of d.

    below, above  the functions; they take d `[K, D, 1, *shape]`
    knots         `[K, D, 1, *shape]`, where they may bend: zero among others
    steepest      `[D, 1, *shape]`, the largest absolute slope of either
    """

    below: Envelope
    above: Envelope
    knots: Tensor
    steepest: Tensor


@dataclass(frozen=True)
class Bend:
    """Two linear pieces that meet: φ(x) = slope·x + turn·relu(x − point), up to a constant."""

    slope: float
    turn: float
    point: Tensor | None = None

    def moved(self, z: Interval) -> Interval:
        """Return the box of z − point, moved outward by rounding."""
        if self.point is None:
            return z
        error = 2 * torch.finfo(z.lower.dtype).eps * (reach_of(z).detach() + self.point.abs())
        return Interval(z.lower - self.point - error, z.upper - self.point + error)


def bend_of(function: Node, like: Tensor) -> Bend | None:
    """Return the two pieces of φ, or None for any other function."""
    below = RULES[function.op].slope_below
    if below is not None:
        slope = below(function)
        return Bend(slope, 1 - slope)
    if "bend" not in function.attributes:
        return None
    slope, turn = (1.0, -1.0) if RULES[function.op].concave else (0.0, 1.0)
    return Bend(slope, turn, function.tensor("bend", like))


def envelopes(function: Node, known: Known) -> Envelopes:
    """Return the envelopes of the change of φ for bounds `[D, 1, *shape]`."""
    bend = bend_of(function, known.z.lower)
    if bend is not None:
        return of_pieces(bend, bend.moved(known.z), bend.moved(known.w))
    return of_slopes(*slopes(function, known.hull))


def of_pieces(bend: Bend, z: Interval, w: Interval) -> Envelopes:
    """Return the envelopes of slope·x + turn·relu(x) between x = z and x = w = z + d.

    relu(w) − relu(z) is w, cut to [0, d], for d ≥ 0, and −z, cut to [d, 0], for d ≤ 0. The first
    rises with w, the second falls with z. At a given d, w lies between bounds of w and of z + d,
    and z between bounds of z and of w − d.
    """

    def relu_change(d: Tensor, side: int) -> Tensor:
        if side > 0:
            rising = torch.minimum(next_to(z.upper + d, 1), w.upper)
            falling = torch.minimum(-z.lower, next_to(d - w.lower, 1))
        else:
            rising = torch.maximum(next_to(z.lower + d, -1), w.lower)
            falling = torch.maximum(-z.upper, next_to(d - w.upper, -1))
        rise = torch.minimum(torch.maximum(rising, 0 * d), d)
        return torch.where(d >= 0, rise, torch.maximum(torch.minimum(falling, 0 * d), d))

    def change(d: Tensor, side: int) -> Tensor:
        if not bend.slope and bend.turn == 1:
            return relu_change(d, side)
        return bend.slope * d + bend.turn * relu_change(d, side if bend.turn > 0 else -side)

    ends = (-z.lower, -z.upper, w.lower, w.upper, w.lower - z.lower, w.upper - z.upper)
    steepest = max(abs(bend.slope), abs(bend.slope + bend.turn))
    return Envelopes(
        partial(change, side=-1),
        partial(change, side=1),
        torch.stack((0 * z.lower, *ends)),
        torch.full_like(z.lower, steepest),
    )


def of_slopes(least: Tensor, most: Tensor) -> Envelopes:
    """Return the envelopes of a function whose slopes lie in [least, most]."""

    def below(d: Tensor) -> Tensor:
        return torch.minimum(least * d, most * d)

    def above(d: Tensor) -> Tensor:
        return torch.maximum(least * d, most * d)

    return Envelopes(below, above, 0 * least.unsqueeze(0), torch.maximum(-least, most))


@torch.no_grad()
def slopes(function: Node, box: Interval) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest slope of φ on a box, moved outward."""
    double = Interval(box.lower.double(), box.upper.double())
    (slope_range,) = SLOPES[function.op](function, (double,))
    least, most = slope_range.lower.to(box.lower.dtype), slope_range.upper.to(box.lower.dtype)
    if box.lower.dtype == torch.float64:
        return least, most
    return next_to(least, -1), next_to(most, 1)


def range_apart(function: Node, known: Known) -> Interval | None:
    """Return the range of e from those of φ at w and at z; None where envelopes are as good."""
    if bend_of(function, known.z.lower) is not None:
        return None
    of_z, of_w = (RULES[function.op].interval(function, (), box) for box in (known.z, known.w))
    size = 1 + reach_of(of_z) + reach_of(of_w)
    error = 2 * FUNCTION * torch.finfo(size.dtype).eps * size.detach()
    return Interval(of_w.lower - of_z.upper - error, of_w.upper - of_z.lower + error)


def at_knots(drawn: Envelopes, d: Interval) -> Tensor:
    """Return the values of d where envelopes can be extreme, `[K, *]`: the ends and the knots."""
    inside = torch.minimum(torch.maximum(drawn.knots, d.lower), d.upper)
    return torch.cat((torch.stack((d.lower, d.upper)), inside))
