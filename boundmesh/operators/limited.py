"""The operator limited, which is the identity on values that never exceed a limit.

What computes the values guarantees the limit, as a normalisation does: no element of a vector of n
numbers with mean 0 and mean square 1 is larger than √(n − 1). Intervals do not show that, because
they lose what the elements have in common. So this operator cuts intervals off at the limit, and
passes rows on as they are.
"""

from __future__ import annotations

from torch import Tensor

from boundmesh.operators.common_rules import Weights, same_partition
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node
from boundmesh.operators.operator import Operator, register
from boundmesh.operators.window_moves import same_windows


def forward(node: Node, weights: Weights, x: Tensor) -> Tensor:
    return x


def interval(node: Node, weights: Weights, box: Interval) -> Interval:
    """Return the box, cut off at ± the attribute `limit`; NaN stays NaN."""
    limit = float(node["limit"])
    return Interval(box.lower.clamp(-limit, limit), box.upper.clamp(-limit, limit))


def pull(node: Node, weights: Weights, rows: Tensor) -> Pulled:
    return Pulled((rows,))


register(
    Operator(
        "limited",
        forward,
        interval,
        pull=pull,
        pull_windows=same_windows,
        rising=True,
        partition=same_partition,
    )
)
