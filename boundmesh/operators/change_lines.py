"""Lines of the change of φ: in d alone, and from the lines of φ at `z + d` and at z.

The words are those of `boundmesh.operators.change`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.operators.change_envelopes import Envelope, Known, at_knots, envelopes, range_apart
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import RULES, Operator


def line(envelope: Envelope, places: Tensor, steepest: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return slope and intercept of a line above (side 1) or below (side −1) an envelope.

    It is the chord, moved until it is beyond the envelope at all knots, and by the rounding of its
    own computation. The ends of d are the first two of `places`.
    """
    values = envelope(places)
    width = places[1] - places[0]
    slope = (values[1] - values[0]) / torch.where(width == 0, 1, width)
    slope = torch.minimum(torch.maximum(slope, -steepest), steepest)
    apart = values - slope * places
    with torch.no_grad():
        number = torch.finfo(slope.dtype)
        error = side * (16 * number.eps * steepest * places.abs().amax(0) + number.tiny)
    return slope, (apart.amax(0) if side > 0 else apart.amin(0)) + error


@dataclass(frozen=True)
class Pair:
    """A line below and a line above e, as slopes in z and in d and intercepts."""

    below: tuple[Tensor, Tensor, Tensor]
    above: tuple[Tensor, Tensor, Tensor]

    def gap(self, z: Tensor, d: Tensor) -> Tensor:
        """Return the distance of the lines at a point."""
        of_z, of_d, intercept = (
            above - below for below, above in zip(self.below, self.above, strict=True)
        )
        return of_z * z + of_d * d + intercept


def together(function: Node, known: Known) -> Pair:
    """Return lines of e in d alone. Where the range of e is known to be narrower, they are flat."""
    d, drawn = known.d, envelopes(function, known)
    places = at_knots(drawn, d)
    apart, middle = range_apart(function, known), (d.lower + d.upper) / 2
    lines = []
    for envelope, side in ((drawn.below, -1), (drawn.above, 1)):
        slope, intercept = line(envelope, places, drawn.steepest, side)
        if apart is not None:
            end = apart.lower if side < 0 else apart.upper
            better = side * end < side * (slope * middle + intercept)
            slope, intercept = (
                torch.where(better, 0 * slope, slope),
                torch.where(better, end, intercept),
            )
        lines.append((0 * slope, slope, intercept))
    return Pair(*lines)


def separate(function: Node, known: Known) -> Pair:
    """Return lines of e from those of φ at z + d and at z."""
    rules = RULES[function.op]
    of_z, of_w = (_lines(function, rules, box) for box in (known.z, known.w))
    (low, low_at), (high, high_at) = of_w
    (other_low, other_low_at), (other_high, other_high_at) = of_z
    return Pair(
        (low - other_high, low, low_at - other_high_at),
        (high - other_low, high, high_at - other_low_at),
    )


def _lines(
    function: Node, rules: Operator, box: Interval
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return slope and intercept of CROWN's lines of φ on a box `[D, 1, *shape]`."""
    flat = Interval(box.lower.squeeze(1), box.upper.squeeze(1))
    assert rules.relax is not None and rules.initial is not None
    with torch.no_grad():
        alpha = rules.initial(function, (flat,)).unsqueeze(1)
    lines = rules.relax(function, (flat,), alpha)
    assert isinstance(lines, Lines)
    (below,), (above,) = lines.lower_slopes, lines.upper_slopes
    low, high = (
        torch.zeros_like(slope) if intercept is None else intercept.expand_as(slope)
        for slope, intercept in ((below, lines.lower_intercept), (above, lines.upper_intercept))
    )
    return (below, low), (above, high)
