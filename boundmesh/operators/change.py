"""The operator change: by how much a function of one variable changes, `φ(z + d) − φ(z)`.

Two networks of equal structure have neurons in pairs. If z is what φ reads in the first network and
z + d what it reads in the second, the outputs of φ differ by e = φ(z + d) − φ(z). Bounds of d are
often far narrower than those of z, and so are lines of e in d alone. The third input w is z + d as
the second network computes it. Only its bounds count; lines have no slope in it:

    two linear pieces that meet at zero   e lies between two functions of d: at a fixed d, e rises
                                          or falls with z, so it is extreme at an end of z's bounds
    any other function                    e = s·d with s in the range of the slopes of φ between all
                                          z and z + d, by the mean value theorem

(NeuroDiff, arXiv 2009.09943, has the first.) Where d is as wide as z, the lines of φ at z + d and
at z are better, each with its own sign. α mixes both pairs of lines; α = 1 takes those in d alone.

The attribute `of` is the node of φ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights
from boundmesh.operators.curve import reach_of, rows_dim
from boundmesh.operators.derivatives import SLOPES
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import RULES, Operator, register
from boundmesh.operators.rounding import FUNCTION, Rounded

WHOLE_LINE = frozenset(
    (
        *("relu", "leaky_relu", "abs", "at_least", "at_most", "sigmoid", "tanh", "erf", "atan"),
        *("softsign", "asinh", "gelu", "gelu_tanh", "silu", "mish", "hard_swish", "softplus"),
        *("elu", "sin", "cos", "exp"),
    )
)
"""The operators whose change can be bounded: functions of one variable, defined everywhere."""

Envelope = Callable[[Tensor], Tensor]


def function_of(node: Node) -> tuple[Node, Operator]:
    """Return the node of φ and the rules of φ."""
    function: Node = node["of"]
    return function, RULES[function.op]


def forward(node: Node, weights: Weights, z: Tensor, d: Tensor, w: Tensor) -> Tensor:
    """Return `φ(z + d) − φ(z)`. `weights` holds the weights of φ."""
    function, rules = function_of(node)
    return rules.forward(function, weights, z + d) - rules.forward(function, weights, z)


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
        d = both(d, outer_sum(w, Interval(-z.upper, -z.lower)))
        w = both(w, outer_sum(z, d))
        return Known(both(z, outer_sum(w, Interval(-d.upper, -d.lower))), d, w)

    @property
    def hull(self) -> Interval:
        """The box of z and w together."""
        lower = torch.minimum(self.z.lower, self.w.lower)
        return Interval(lower, torch.maximum(self.z.upper, self.w.upper))


def both(one: Interval, other: Interval) -> Interval:
    return Interval(torch.maximum(one.lower, other.lower), torch.minimum(one.upper, other.upper))


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
    (found,) = SLOPES[function.op](function, (double,))
    least, most = found.lower.to(box.lower.dtype), found.upper.to(box.lower.dtype)
    if box.lower.dtype == torch.float64:
        return least, most
    return next_to(least, -1), next_to(most, 1)


def range_apart(function: Node, known: Known) -> Interval | None:
    """Return the range of e from those of φ at w and at z; None where envelopes are as good."""
    if bend_of(function, known.z.lower) is not None:
        return None
    one, two = (RULES[function.op].interval(function, (), box) for box in (known.z, known.w))
    size = 1 + reach_of(one) + reach_of(two)
    error = 2 * FUNCTION * torch.finfo(size.dtype).eps * size.detach()
    return Interval(two.lower - one.upper - error, two.upper - one.lower + error)


def interval(node: Node, weights: Weights, *boxes: Interval) -> Interval:
    """Return the range of the envelopes over the bounds of d, within that of `range_apart`."""
    (function, _), known = function_of(node), Known.of(boxes)
    drawn = envelopes(function, known)
    places = at_knots(drawn, known.d)
    low, high = drawn.below(places).amin(0), drawn.above(places).amax(0)
    apart = range_apart(function, known)
    if apart is not None:
        low, high = torch.maximum(low, apart.lower), torch.minimum(high, apart.upper)
    return Interval(torch.minimum(low, high), high)


def at_knots(drawn: Envelopes, d: Interval) -> Tensor:
    """Return the values of d where envelopes can be extreme, `[K, *]`: the ends and the knots."""
    inside = torch.minimum(torch.maximum(drawn.knots, d.lower), d.upper)
    return torch.cat((torch.stack((d.lower, d.upper)), inside))


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
        of_z, of_d, at = (
            above - below for below, above in zip(self.below, self.above, strict=True)
        )
        return of_z * z + of_d * d + at


def together(function: Node, known: Known) -> Pair:
    """Return lines of e in d alone. Where the range of e is known to be narrower, they are flat."""
    d, drawn = known.d, envelopes(function, known)
    places = at_knots(drawn, d)
    apart, middle = range_apart(function, known), (d.lower + d.upper) / 2
    found = []
    for envelope, side in ((drawn.below, -1), (drawn.above, 1)):
        slope, at = line(envelope, places, drawn.steepest, side)
        if apart is not None:
            end = apart.lower if side < 0 else apart.upper
            better = side * end < side * (slope * middle + at)
            slope, at = torch.where(better, 0 * slope, slope), torch.where(better, end, at)
        found.append((0 * slope, slope, at))
    return Pair(*found)


def separate(function: Node, known: Known) -> Pair:
    """Return lines of e from those of φ at z + d and at z."""
    rules = RULES[function.op]
    one, two = (_lines(function, rules, box) for box in (known.z, known.w))
    (low, low_at), (high, high_at) = two
    (other_low, other_low_at), (other_high, other_high_at) = one
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
        torch.zeros_like(slope) if at is None else at.expand_as(slope)
        for slope, at in ((below, lines.lower_intercept), (above, lines.upper_intercept))
    )
    return (below, low), (above, high)


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return α times the lines in d alone, and 1 − α times those of φ at z + d and at z.

    Where e is a known function of d, α counts as 1.
    """
    function, _ = function_of(node)
    known = Known.of(tuple(map(rows_dim, boxes)))
    alpha = torch.where(unstable(node, boxes).unsqueeze(1), alpha, 1)
    joint, apart = together(function, known), separate(function, known)

    def mixed(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(
            second + alpha * (first - second) for first, second in zip(one, other, strict=True)
        )

    of_z, of_d, at = mixed(joint.below, apart.below)
    over_z, over_d, over = mixed(joint.above, apart.above)
    return Lines((of_z, of_d, 0 * of_d), (over_z, over_d, 0 * over_d), at, over)


def initial(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return α = 1 where the lines in d alone are nearer in the middle, and 0 elsewhere."""
    function, _ = function_of(node)
    known = Known.of(tuple(map(rows_dim, boxes)))
    middle = [(box.lower + box.upper) / 2 for box in (known.z, known.d)]
    joint, apart = (pair(function, known).gap(*middle) for pair in (together, separate))
    return (~(joint > apart)).to(joint.dtype).squeeze(1)


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return a mask of neurons at which e is no known function of d.

    It is known where d is zero, and where z and z + d lie on the same of two linear pieces.
    """
    z, d, _ = boxes
    varies = ((z.upper > z.lower) | (d.upper > d.lower)) & ((d.lower != 0) | (d.upper != 0))
    bend = bend_of(function_of(node)[0], z.lower)
    if bend is None:
        return varies
    if not bend.turn:
        return torch.zeros_like(varies)
    known = Known.of(boxes)
    one, two = bend.moved(known.z), bend.moved(known.w)
    above = (one.lower >= 0) & (two.lower >= 0)
    below = (one.upper <= 0) & (two.upper <= 0)
    return varies & ~above & ~below


def cut_point(node: Node, box: Interval) -> Tensor:
    """Return the point where φ bends, or else zero, where many functions are steepest.

    A cut of d at zero divides its rises from its falls.
    """
    bend = bend_of(function_of(node)[0], box.lower)
    zero = torch.zeros_like(box.lower)
    return zero if bend is None or bend.point is None else zero + bend.point


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding: those of φ at z + d and at z, and those of lines in d."""
    (function, rules), known = function_of(node), Known.of(boxes)
    assert rules.rounded is not None
    terms = []
    for box in (known.z, known.w):
        for term in rules.rounded(function, (box,)):
            pull = term.pull + 8 if term.pull or term.summed else 0
            terms.append(replace(term, pull=pull))
    size = envelopes(function, known).steepest * reach_of(known.d)
    return (*terms, Rounded(4 * size, 8, 32, node.size))


register(
    Operator(
        "change",
        forward,
        interval,
        relax=relax,
        initial=initial,
        unstable=unstable,
        cut_point=cut_point,
        rounded=rounded,
    )
)
