"""The one interface of all heuristics that choose the neurons to split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from boundmesh.bounds.methods.domain_bounds import BoundedDomains
from boundmesh.bounds.relaxation.neurons import Neurons
from boundmesh.operators.interval import Interval
from boundmesh.search.domain import Domains

Quick = Callable[[Domains], Tensor]
"""Margins `[D]` of domains by one sweep with the parameters they carry."""


@dataclass(frozen=True)
class Candidates:
    """What a heuristic chooses from.

    domains: the D domains to split.
    bounded: their bounds.
    scores: what a split of each neuron and then a cut of each value could gain, `[D, N + C]`; −inf
        where it is impossible.
    points: where each value would be cut, `[D, C]`; None where no value can be.
    tries: how many neurons of each domain may be tried by bounding their children.
    quick: bounds domains by one sweep.
    """

    domains: Domains
    bounded: BoundedDomains
    scores: Tensor
    tries: int
    quick: Quick
    points: Tensor | None = None


def highest_score(candidates: Candidates) -> Tensor:
    """Return the neuron or value of the highest score in each domain, `[D]`."""
    return candidates.scores.argmax(1)


@dataclass(frozen=True)
class Heuristic:
    """A heuristic: an entry of the table in `table.py`.

    name: the word of `--branching`.
    scores: what a split of each neuron could gain, `[D, N]` numbers ≥ 0; −inf where a neuron cannot
        be split. The last argument holds the bounds of the N neurons on every domain, `[D, N]`.
    choose: of each domain the neuron to split or value to cut, `[D]`, whose score is not −inf where
        any is not.
    """

    name: str
    scores: Callable[[Neurons, Domains, BoundedDomains, Interval], Tensor]
    choose: Callable[[Candidates], Tensor] = highest_score
