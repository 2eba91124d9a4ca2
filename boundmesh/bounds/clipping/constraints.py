"""Clips a domain: cuts the ranges of inputs and neurons to where a counterexample can be.

The backward sweep ends with a linear lower bound `⟨a, x⟩ + k` of each atom. A counterexample must
have `⟨a, x⟩ + k ≤ 0`, so only such points of a domain matter. The inputs, and the neurons that are
affine in them, have smaller ranges over these points (clipping, arXiv 2512.11087). Splits and known
bounds of neurons are further half-spaces that make ranges smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.clipping.affine_values import AffineValues
from boundmesh.bounds.clipping.cutting import Cutting
from boundmesh.bounds.clipping.propagation import propagate
from boundmesh.kernels import fused_clipping
from boundmesh.operators.interval import Interval

# Domains are clipped together in parts with TOGETHER coefficients, which a CPU's cache can hold. On
# a GPU, where starting a step is slow, a batch has at most MOST_PARTS parts.
TOGETHER = 2**19
MOST_PARTS = 16


@dataclass(frozen=True)
class Constraints:
    """Constraints `⟨rows, x⟩ + constants ≤ 0` that hold at every possible counterexample.

    rows       `[D, S, n]`
    constants  `[D, S]`
    more       `[D, S, U]`, ≥ 0: `more[z]·z` may be added to a row for any one neuron z
    less       `[D, S, U]`, ≥ 0: `less[z]·z` may be subtracted from a row for any one neuron z

    The last two hold because the line of a neuron may have any slope.
    """

    rows: Tensor
    constants: Tensor
    more: Tensor
    less: Tensor

    def take(self, which: Tensor | slice) -> Constraints:
        """Return the constraints of the domains `which`."""
        return Constraints(
            self.rows[which], self.constants[which], self.more[which], self.less[which]
        )


@torch.no_grad()
def clip(values: AffineValues, box: Interval, constraints: Constraints) -> Interval:
    """Cut bounds `[D, n + U]` of values to the points where the constraints hold.

    If a lower bound is above its upper bound afterwards, the domain has no counterexample.
    """
    if fused_clipping.applies(values):
        return _clip(values, box, constraints)
    height = max(1, TOGETHER // values.rows.numel())
    if box.lower.is_cuda:
        height = max(height, -(-len(box.lower) // MOST_PARTS))
    parts = [slice(first, first + height) for first in range(0, len(box.lower), height)]
    clipped = [_clip(values, box.take(part), constraints.take(part)) for part in parts]
    return Interval(
        torch.cat([interval.lower for interval in clipped]),
        torch.cat([interval.upper for interval in clipped]),
    )


def _clip(values: AffineValues, box: Interval, constraints: Constraints) -> Interval:
    box = propagate(values, box)
    for row in range(constraints.rows.shape[1]):
        cut = Cutting(values, box, constraints.rows[:, row], constraints.constants[:, row])
        inputs = cut.inputs()
        least, most = cut.neurons(constraints.less[:, row], constraints.more[:, row])
        box = Interval(
            torch.fmax(box.lower, torch.cat([inputs.lower, least], dim=1)),
            torch.fmin(box.upper, torch.cat([inputs.upper, most], dim=1)),
        )
    return propagate(values, box)
