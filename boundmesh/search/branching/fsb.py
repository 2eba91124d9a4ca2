"""Filtered smart branching: try the best candidates of BaBSR by bounding their children
(arXiv 2104.06718), as kFSB does in α,β-CROWN (arXiv 2103.06624)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from boundmesh.bounds.methods.domain_bounds import BoundedDomains
from boundmesh.search.domain import Domains, split

Quick = Callable[[Domains], Tensor]
"""Computes margins `[D]` of domains by one sweep with the domains' own parameters."""


def choose(
    domains: Domains, bounded: BoundedDomains, loss: Tensor, tries: int, quick: Quick
) -> Tensor:
    """Choose for each domain the neuron whose worse child has the best margin, `[D]`.

    The candidates are the neurons with the `tries` highest scores. Ties go to the higher score.
    This takes 2·tries sweeps over the domains.
    """
    tries = min(tries, loss.shape[1])
    score, candidates = torch.topk(loss, tries, dim=1)
    gain = torch.full_like(score, -torch.inf, dtype=torch.float64)
    blank = torch.zeros_like(bounded.coefficients)
    for place in range(tries):
        children = split(domains, candidates[:, place : place + 1], blank)
        margins = quick(children).reshape(2, -1).double()
        # A child with a margin above zero is proved, so a larger margin is no better.
        gain[:, place] = margins.clamp(max=0).sum(0) + 1e-3 * margins.min(0).values
    gain = torch.where(score == -torch.inf, -torch.inf, gain)
    return candidates.gather(1, gain.argmax(1, keepdim=True)).squeeze(1)
