"""Filtered smart branching tries the best candidates of BaBSR: it bounds their children.

The method is from arXiv 2104.06718; kFSB does so in α,β-CROWN (arXiv 2103.06624).
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.search.branching.babsr import scores
from boundmesh.search.branching.heuristic import Candidates, Heuristic
from boundmesh.search.domain import split


def choose(candidates: Candidates) -> Tensor:
    """Choose for each domain the neuron whose worse child has the best margin, `[D]`.

    The candidates are the neurons with the `tries` highest scores. Ties go to the higher score.
    This takes 2·tries sweeps over the domains.
    """
    tries = min(candidates.tries, candidates.scores.shape[1])
    score, tried = torch.topk(candidates.scores, tries, dim=1)
    gain = torch.full_like(score, -torch.inf, dtype=torch.float64)
    blank = torch.zeros_like(candidates.bounded.coefficients)
    for number in range(tries):
        candidate = tried[:, number : number + 1]
        children = split(candidates.domains, candidate, blank, points=candidates.points)
        margins = candidates.quick(children).reshape(2, -1).double()
        # A child with a margin above zero is proved, so a larger margin is no better.
        gain[:, number] = margins.clamp(max=0).sum(0) + 1e-3 * margins.min(0).values
    gain = torch.where(score == -torch.inf, -torch.inf, gain)
    return tried.gather(1, gain.argmax(1, keepdim=True)).squeeze(1)


FSB = Heuristic("fsb", scores, choose)
