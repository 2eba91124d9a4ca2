"""Prefers splits of neurons whose inputs matter to many constraints of a domain.

A split that narrows inputs on which many tight constraints depend lets clipping cut off more. The
score is the smear of interval methods with relative impacts (Trombettoni, Araya, Neveu and Chabert,
"Inner regions and interval linearizations for global optimization", AAAI 2011).
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.clipping.affine_values import AffineValues
from boundmesh.kernels.matmul import mm
from boundmesh.operators.interval import Interval


@torch.no_grad()
def influence(values: AffineValues, box: Interval, count: int) -> Tensor:
    """Compute a factor for the score of each of `count` neurons, `[D, N]`.

    The factors are 1 on average, and 1 for neurons that are not among `values`. Input i with radius
    rᵢ has the share `p_zi = |T_zi|·rᵢ / Σ|T_z|·r` in neuron z. Let c_z be the share of z's range
    that its bounds cut off. Then neuron z scores `Σᵢ p_zi·Σ_y c_y·p_yi`.
    """
    n = values.inputs
    radius = (box.upper[:, :n] - box.lower[:, :n]) / 2
    reached = values.ranges(box.lower[:, :n], box.upper[:, :n])
    width, left = reached.upper - reached.lower, (box.upper - box.lower)[:, n:]
    share = (1 / width).nan_to_num(0.0, 0.0, 0.0)
    cut = (1 - left * share).clamp(0, 1)
    size = values.rows.abs()
    smear = mm(cut * share, size) * radius
    score = mm(smear * radius, size.T) * share
    score = score / score.mean(1, keepdim=True)
    factor = torch.ones(len(score), count, dtype=score.dtype, device=score.device)
    return factor.index_copy(1, values.places, score.nan_to_num(1.0, 1.0, 1.0))
