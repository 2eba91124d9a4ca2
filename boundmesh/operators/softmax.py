"""The operator softmax, `pⱼ = exp(xⱼ)/Σᵢ exp(xᵢ)` along one axis, where a mask may leave some out.

With `S(x) = Σᵢ exp(xᵢ)`, each output is bounded by the log-sum-exp bounds of arXiv 2303.01713:

* Below. The chord of each exponential lies above it, so `pⱼ ≥ exp(xⱼ)/C(x)` with an affine
  `C(x) = Σᵢ chordᵢ(xᵢ)`. That is convex, and lies above its tangent plane at x⁰:

      pⱼ ≥ gⱼ·(1 + (xⱼ − x⁰ⱼ) − ⟨k, x − x⁰⟩/C(x⁰)),   gⱼ = exp(x⁰ⱼ)/C(x⁰), k the chords' slopes

* Above. `log pⱼ = xⱼ − log S(x)` is concave. On `[log p_l, log p_u]` the chord of the exponential
  lies above it, so with the chord's slope cⱼ and s = softmax(x⁰)

      pⱼ ≤ p_l + cⱼ·(xⱼ − log S(x⁰) − ⟨s, x − x⁰⟩ − log p_l)

α places x⁰ in the box. Each matrix of slopes is a diagonal less a product of two vectors, so rows
are pulled back without storing it. Where the end of the range of pⱼ is tighter in the middle of the
box than the plane, that constant takes its place.

The attribute `keep` is an array of the node's shape, 1 for elements that take part and 0 for those
that are left out (their input counts as −∞, and their output is 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.operators.common_rules import Weights, other_axis
from boundmesh.operators.curve import reach_of, rows_dim, sensible
from boundmesh.operators.inner_products import inner
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.partition import Partition
from boundmesh.operators.rounding import FUNCTION, Rounded

# The most pairs of elements that the range compares at a time.
BLOCK = 2**22
STEEPEST = 4.0
"""A tangent plane below is used only where `Σ k/C(x⁰)` is no larger; its rounding is then small."""


def keep_of(node: Node, like: Tensor) -> Tensor | None:
    """Return the mask of the elements that take part, `[1, *shape]`, or None if all do."""
    return node.tensor("keep", like).bool().unsqueeze(0) if "keep" in node.attributes else None


def without(values: Tensor, keep: Tensor | None, fill: float) -> Tensor:
    """Return the values with `fill` at the elements that are left out."""
    return values if keep is None else torch.where(keep, values, fill)


def softmax(node: Node, weights: Weights, x: Tensor) -> Tensor:
    axis = int(node["axis"]) + 1
    return torch.softmax(without(x, keep_of(node, x), -torch.inf), axis)


def log_range(node: Node, box: Interval) -> Interval:
    """Return the range of `log pⱼ = −log Σᵢ exp(xᵢ − xⱼ)`.

    It is least where xⱼ is least and all others are largest, and largest the other way round.
    """
    axis, keep = int(node["axis"]) + 1, keep_of(node, box.lower)
    low, high = (without(end, keep, -torch.inf).movedim(axis, -1) for end in (box.lower, box.upper))
    own_low, own_high = (end.movedim(axis, -1) for end in (box.lower, box.upper))
    length = low.shape[-1]
    step = max(1, BLOCK // max(1, low.numel()))
    lower, upper = [], []
    for first in range(0, length, step):
        part = slice(first, min(first + step, length))
        place = torch.arange(length, device=low.device)
        same = place[part, None] == place
        lower.append(_log_share(high, own_low[..., part], same))
        upper.append(_log_share(low, own_high[..., part], same))
    return Interval(torch.cat(lower, -1).movedim(-1, axis), torch.cat(upper, -1).movedim(-1, axis))


def _log_share(others: Tensor, inputs: Tensor, same: Tensor) -> Tensor:
    """Return `−log(1 + Σ exp(xᵢ − xⱼ))` over i ≠ j."""
    difference = others.unsqueeze(-2) - inputs.unsqueeze(-1)
    return -torch.logsumexp(torch.where(same, 0, difference), -1)


def interval(node: Node, weights: Weights, box: Interval) -> Interval:
    logs, keep = log_range(node, box), keep_of(node, box.lower)
    return Interval(without(logs.lower.exp(), keep, 0), without(logs.upper.exp(), keep, 0))


@dataclass(frozen=True)
class SoftmaxPlanes:
    """A plane below and a plane above each output, all tensors `[D, R, *shape]`.

    axis             the dim of the elements of one softmax
    below, above     gⱼ and cⱼ, which scale the planes; zero where a constant takes their place
    below_shared     `k/C(x⁰)`
    above_shared     `s`
    lower_intercept  the constants of the planes below
    upper_intercept  the constants of the planes above
    """

    axis: int
    below: Tensor
    above: Tensor
    below_shared: Tensor
    above_shared: Tensor
    lower_intercept: Tensor
    upper_intercept: Tensor

    def pull(self, rows: Tensor) -> Pulled:
        """Pull rows A back: of each plane the diagonal, less the product of its two vectors."""
        positive, negative = rows.clamp(min=0), rows.clamp(max=0)
        low, high = positive * self.below, negative * self.above
        shared_low = self.below_shared * low.sum(self.axis, keepdim=True)
        shared_high = self.above_shared * high.sum(self.axis, keepdim=True)
        bias = inner(positive, self.lower_intercept) + inner(negative, self.upper_intercept)
        return Pulled((low + high - shared_low - shared_high,), bias)


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> SoftmaxPlanes:
    axis = int(node["axis"]) + 2
    keep = keep_of(node, boxes[0].lower)
    keep = None if keep is None else keep.unsqueeze(0)
    box, logs = rows_dim(boxes[0]), rows_dim(log_range(node, boxes[0]))
    lower, upper, width = box.lower, box.upper, box.upper - box.lower
    low, high = without(logs.lower.exp(), keep, 0), without(logs.upper.exp(), keep, 0)
    point, middle = lower + alpha * width, lower + width / 2
    # exp(x − peak) cannot overflow.
    peak = without(upper, keep, -torch.inf).amax(axis, keepdim=True).detach()
    first, last = (without((end - peak).exp(), keep, 0) for end in (lower, upper))
    chord = sensible((last - first) / torch.where(width == 0, 1, width), first, last)
    mass = (first + chord * (point - lower)).sum(axis, keepdim=True)
    steep = ~(chord.sum(axis, keepdim=True) <= STEEPEST * mass)
    mass = torch.where(steep, 1, mass)
    below, slopes = without((point - peak).exp(), keep, 0) / mass, chord / mass
    bent_low = 1 - point + (slopes * point).sum(axis, keepdim=True)
    rise = (slopes * (middle - point)).sum(axis, keepdim=True)
    worse = steep | ~(below * (1 + middle - point - rise) >= low)
    below = torch.where(worse, 0, below)
    # Above.
    shares = torch.softmax(without(point, keep, -torch.inf), axis)
    spread = logs.upper - logs.lower
    above = sensible((high - low) / torch.where(spread == 0, 1, spread), low, high)
    total = torch.logsumexp(without(point, keep, -torch.inf), axis, keepdim=True)
    mean = (shares * point).sum(axis, keepdim=True)
    at_middle = middle - total - (shares * (middle - point)).sum(axis, keepdim=True)
    flat = ~(low + above * (at_middle - logs.lower) <= high)
    above = torch.where(flat, 0, above)
    lower_intercept = torch.where(worse, low, below * bent_low)
    upper_intercept = torch.where(flat, high, low + above * (mean - total - logs.lower))
    return SoftmaxPlanes(axis, below, above, slopes, shares, lower_intercept, upper_intercept)


def initial(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    """Return α = 1/2: the planes touch in the middle of the box."""
    return torch.full_like(boxes[0].lower, 0.5)


def unstable(node: Node, boxes: tuple[Interval, ...]) -> Tensor:
    (box,) = boxes
    return box.upper > box.lower


def cut_gain(node: Node, boxes: tuple[Interval, ...], rows: Tensor) -> tuple[Tensor]:
    """Return what a cut of each input in its middle may gain.

    On a range of width w a function f is off its chord by about `w²·|f''|/8`, and on either half by
    a quarter of that. With A less its mean over the shares p, as Σ pⱼ = 1, the second derivative of
    ⟨A, p⟩ to xᵢ is `pᵢ(1 − 2pᵢ)·Aᵢ`, to which ends of the box may add as much as `pᵢ·Σ|Aⱼ|pⱼ`.
    """
    (box,) = boxes
    axis, keep = int(node["axis"]) + 1, keep_of(node, box.lower)
    middle, width = (box.lower + box.upper) / 2, box.upper - box.lower
    shares = torch.softmax(without(middle, keep, -torch.inf), axis).unsqueeze(1)
    apart = (rows - (rows * shares).sum(axis + 1, keepdim=True)).abs()
    bend = shares * (apart + (apart * shares).sum(axis + 1, keepdim=True))
    return (width.square() * bend.mean(1) * (3 / 32),)


def rounded(node: Node, boxes: tuple[Interval, ...]) -> tuple[Rounded, ...]:
    """Return the sources of rounding.

    A value p = exp(t) errs by as many roundings as t has, which are relative to 1 + |t|, and
    p·(1 + |t|) is largest at the upper end. The planes have slopes of at most
    p_u·(1 + `STEEPEST`), in sum over the inputs. Their factors err relative to 1 + |t| and to 1 +
    the largest width, because exponents are differences of points of the box.
    """
    (box,) = boxes
    axis, keep = int(node["axis"]) + 1, keep_of(node, boxes[0].lower)
    logs, length = log_range(node, box), node.shape[int(node["axis"])]
    high = without(logs.upper.exp(), keep, 0)
    value = without(high * (1 + logs.upper.abs()), keep, 0)
    reach = without(reach_of(box), keep, 0).amax(axis, keepdim=True)
    width = without(box.upper - box.lower, keep, 0).amax(axis, keepdim=True)
    # NaN of any input reaches all outputs.
    broken = ((box.lower - box.lower) + (box.upper - box.upper)).sum(axis, keepdim=True)
    height = (1 + width) * value * (1 + (2 + 2 * STEEPEST) * reach) + broken
    count = 4 * FUNCTION + 2 * length
    return (
        Rounded(value + broken, count, 0),
        Rounded(height, 0, 2 * count, node.size),
    )


def partition(node: Node, cut: Partition) -> Partition | None:
    """Cut along another axis, where no mask needs to be cut as well."""
    return None if "keep" in node.attributes else other_axis(node, cut)


def never_negative(node: Node) -> float:
    return 0.0


SOFTMAX = register(
    Operator(
        "softmax",
        softmax,
        interval,
        relax=relax,
        initial=initial,
        unstable=unstable,
        cut_gain=cut_gain,
        rounded=rounded,
        mixes=True,
        least=never_negative,
        partition=partition,
    )
)
