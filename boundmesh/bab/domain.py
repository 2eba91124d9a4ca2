"""Domains of branch and bound: the neurons that can be split, and batches of subproblems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.bab.arrays import Arrays, join
from boundmesh.bounds.lines import one_by_one
from boundmesh.bounds.parameters import Undecided, undecided_neurons_of
from boundmesh.bounds.program import Program
from boundmesh.rules import RULES
from boundmesh.rules.operator import Interval


@dataclass(frozen=True)
class Neurons:
    """The undecided neurons of the root, those of all nonlinear nodes side by side: N places.

    `places` maps a node to its part of the N; `split_points` `[N]` says where its operator bends
    (NaN where it cannot be split); `lower` and `upper` `[N]` are the root's bounds there.
    """

    undecided: Mapping[str, Undecided]
    places: Mapping[str, slice]
    split_points: Tensor
    lower: Tensor
    upper: Tensor

    @property
    def count(self) -> int:
        return len(self.split_points)

    @property
    def initial(self) -> Tensor:
        """CROWN's α of every place, `[N]`."""
        parts = [self.undecided[node].initial[0] for node in self.places]
        return torch.cat(parts) if parts else self.lower


def neurons_of(program: Program, bounds: Mapping[str, Interval]) -> Neurons:
    """The neurons undecided under bounds of one root domain (D = 1)."""
    undecided, places = {}, {}
    points, lower, upper = [], [], []
    count = 0
    for node in program.nonlinear:
        mine = undecided_neurons_of(node, bounds)
        undecided[node.name] = mine
        size = len(mine.index)
        places[node.name] = slice(count, count + size)
        count += size
        point = RULES[node.op].split_point
        splits = point is not None and one_by_one(node)
        box = bounds[node.inputs[0]]
        lower.append(box.lower.flatten()[mine.index])
        upper.append(box.upper.flatten()[mine.index])
        value = point(node) if point is not None and splits else float("nan")
        points.append(torch.full_like(lower[-1], value))
    return Neurons(undecided, places, torch.cat(points), torch.cat(lower), torch.cat(upper))


@dataclass(frozen=True)
class Domains(Arrays):
    """D subproblems of one region.

    margin   `[D]`        the best margin known; float64
    clause   `[D]`        the clause to be refuted
    splits   `[D, N]`     int8: +1 where z ≥ split point, −1 where z ≤ it, 0 where not split
    alpha    `[D, S, N]`  slopes, float16
    beta     `[D, S, N]`  split multipliers ≥ 0, float16
    """

    clause: Tensor
    splits: Tensor
    alpha: Tensor
    beta: Tensor

    @property
    def depth(self) -> int:
        """The most splits of any domain."""
        return int((self.splits != 0).sum(1).max()) if len(self) else 0


def root(neurons: Neurons, clauses: Tensor, margins: Tensor, atoms: int) -> Domains:
    """One domain without splits for each of `clauses`, with CROWN's slopes for `atoms` rows."""
    count = len(clauses)
    alpha = neurons.initial.to(torch.float16).expand(count, atoms, -1).clone()
    splits = torch.zeros(count, neurons.count, dtype=torch.int8, device=alpha.device)
    return Domains(margins, clauses, splits, alpha, torch.zeros_like(alpha))


def split(domains: Domains, neurons: Tensor, coefficients: Tensor) -> Domains:
    """All 2^m children of each domain by its m neurons `[D, m]`, as m halvings of the whole.

    The children of a domain cover it: every point satisfies one sign at each neuron. Child c of
    domain d stands at c·D + d. A child starts with its parent's slopes and margin, and with the
    multiplier that makes up for the line it loses, so that its bound is no worse: where A, the
    coefficient `[D, S, N]` of the neuron's output, is positive, A·α·z = A·z − β·z with
    β = A·(1 − α) above the split, and 0 + β·z with β = A·α below.
    """
    children = domains
    gain = coefficients.clamp(min=0).expand(domains.alpha.shape).to(torch.float32)
    slope = domains.alpha.to(torch.float32)
    lost = {1: (gain * (1 - slope)).half(), -1: (gain * slope).half()}
    for level in range(neurons.shape[1]):
        copies = len(children) // len(domains)
        place = neurons[:, level].repeat(copies)[:, None]
        wide = place[:, :, None].expand(-1, children.beta.shape[1], 1)
        halves = []
        for sign, loss in lost.items():
            multiplier = loss.repeat(copies, 1, 1).gather(2, wide)
            halves.append(
                replace(
                    children,
                    splits=children.splits.scatter(1, place, sign),
                    beta=children.beta.scatter(2, wide, multiplier),
                )
            )
        children = join(halves)
    return children
