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

from dataclasses import replace

import torch
from torch import Tensor

from boundmesh.operators.change_envelopes import Known, at_knots, bend_of, envelopes, range_apart
from boundmesh.operators.change_lines import separate, together
from boundmesh.operators.common_rules import Weights
from boundmesh.operators.curve import reach_of, rows_dim
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.operators.node import Node
from boundmesh.operators.operator import RULES, Operator, register
from boundmesh.operators.rounding import Rounded

WHOLE_LINE = frozenset(
    (
        *("relu", "leaky_relu", "abs", "at_least", "at_most", "sigmoid", "tanh", "erf", "atan"),
        *("softsign", "asinh", "gelu", "gelu_tanh", "silu", "mish", "hard_swish", "softplus"),
        *("elu", "sin", "cos", "exp"),
    )
)
"""The operators whose change can be bounded: functions of one variable, defined everywhere."""


def function_of(node: Node) -> tuple[Node, Operator]:
    """Return the node of φ and the rules of φ."""
    function: Node = node["of"]
    return function, RULES[function.op]


def forward(node: Node, weights: Weights, z: Tensor, d: Tensor, w: Tensor) -> Tensor:
    """Return `φ(z + d) − φ(z)`. `weights` holds the weights of φ."""
    function, rules = function_of(node)
    return rules.forward(function, weights, z + d) - rules.forward(function, weights, z)


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


def relax(node: Node, boxes: tuple[Interval, ...], alpha: Tensor) -> Lines:
    """Return α times the lines in d alone, and 1 − α times those of φ at z + d and at z.

    Where e is a known function of d, α counts as 1.
    """
    function, _ = function_of(node)
    known = Known.of(tuple(map(rows_dim, boxes)))
    alpha = torch.where(unstable(node, boxes).unsqueeze(1), alpha, 1)
    joint, apart = together(function, known), separate(function, known)

    def mixed(
        joint_lines: tuple[Tensor, ...], apart_lines: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return tuple(
            second + alpha * (first - second)
            for first, second in zip(joint_lines, apart_lines, strict=True)
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
    of_z, of_w = bend.moved(known.z), bend.moved(known.w)
    above = (of_z.lower >= 0) & (of_w.lower >= 0)
    below = (of_z.upper <= 0) & (of_w.upper <= 0)
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
