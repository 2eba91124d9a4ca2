"""BaBSR estimates what a domain's bound loses to the line of each neuron (arXiv 1909.06588)."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.methods.domain_bounds import BoundedDomains
from boundmesh.bounds.relaxation.neurons import Neurons
from boundmesh.operators.interval import Interval
from boundmesh.search.branching.heuristic import Heuristic
from boundmesh.search.domain import Domains


def scores(neurons: Neurons, domains: Domains, bounded: BoundedDomains, box: Interval) -> Tensor:
    """Estimate how much a split of each neuron could gain, `[D, N]`; −inf where it has no split.

    With coefficient A of a ReLU's output and bounds l < 0 < u, the bound loses up to
    −A·(−l·u/(u − l)) to the line above (A < 0), and up to A·max(α·(−l), (1 − α)·u) to the line
    below (A ≥ 0). Half of the second loss is counted, since the losses on both sides of zero do not
    occur at one point. For a clause of several atoms the mean over its rows counts. A function that
    bends elsewhere is moved to bend at zero. A concave one is reflected:
    `min(x, 0) = −max(−x, 0)`.
    """
    points, concave = neurons.split_points, neurons.concave
    free = (domains.splits == 0) & (box.lower < points) & (box.upper > points)
    low, high = box.lower - points, box.upper - points
    low, high = torch.where(concave, -high, low), torch.where(concave, -low, high)
    gap = (-low * high / (high - low)).unsqueeze(1)
    alpha = bounded.parameters.alpha
    below = torch.maximum(alpha * -low.unsqueeze(1), (1 - alpha) * high.unsqueeze(1))
    rows = torch.where(concave, -bounded.coefficients, bounded.coefficients)
    loss = torch.where(rows < 0, -rows * gap, 0.5 * rows * torch.minimum(below, gap)).mean(1)
    return torch.where(free, loss, -torch.inf)


BABSR = Heuristic("babsr", scores)
