"""Clipping: what a counterexample in a domain must satisfy cuts the values that it can take.

A domain is to be shown free of counterexamples, so only its points with `⟨a, x⟩ + k ≤ 0` matter,
where `⟨a, x⟩ + k` is the linear bound of an atom that the backward sweep left at the input. Over
these points the inputs, and the neurons that are affine in them, have smaller ranges (clipping,
arXiv 2512.11087); so they have in the half-spaces that splits and known bounds of neurons are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.clipping.affine_values import AffineValues
from boundmesh.bounds.clipping.cutting import Cutting
from boundmesh.bounds.clipping.propagation import propagate
from boundmesh.kernels import fused_clipping
from boundmesh.operators.operator import Interval

# Coefficients of the domains that are clipped together: as many as stay in a CPU's cache. A GPU,
# which is slow to start each step, takes a batch in so many parts, at most.
TOGETHER = 2**19
MOST_PARTS = 16


@dataclass(frozen=True)
class Constraints:
    """`⟨rows, x⟩ + constants ≤ 0` holds at every point that matters, `[D, S, n]` and `[D, S]`.

    It still holds with `more[z]·z` added, or `less[z]·z` taken away, for any one neuron z, as its
    line may have any slope. Both `[D, S, U]`, ≥ 0.
    """

    rows: Tensor
    constants: Tensor
    more: Tensor
    less: Tensor

    def take(self, which: Tensor | slice) -> Constraints:
        """Those of the domains at `which`."""
        return Constraints(
            self.rows[which], self.constants[which], self.more[which], self.less[which]
        )


@torch.no_grad()
def clip(values: AffineValues, box: Interval, constraints: Constraints) -> Interval:
    """Bounds `[D, n + U]` of values cut to where the constraints hold; no point of a domain matters
    where a lower bound comes to lie above its upper one."""
    if fused_clipping.applies(values):
        return _clip(values, box, constraints)
    height = max(1, TOGETHER // values.rows.numel())
    if box.lower.is_cuda:
        height = max(height, -(-len(box.lower) // MOST_PARTS))
    parts = [slice(first, first + height) for first in range(0, len(box.lower), height)]
    found = [_clip(values, box.take(part), constraints.take(part)) for part in parts]
    return Interval(
        torch.cat([each.lower for each in found]), torch.cat([each.upper for each in found])
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
