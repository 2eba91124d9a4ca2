"""The unstable neurons of all nonlinear nodes, in one list; a search chooses among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.relaxation.slopes import UnstableNeurons, unstable_neurons_of
from boundmesh.bounds.sweep.largest_row import one_by_one
from boundmesh.bounds.sweep.program import Program
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval


@dataclass(frozen=True)
class Neurons:
    """The N unstable neurons of the root domain, of all nonlinear nodes one after the other.

    unstable      the unstable neurons of each node, by node name
    columns       the part of the N that belongs to each node, by node name
    split_points  `[N]`, where the operator bends (NaN: the neuron cannot be split)
    concave       `[N]`, true if α is the slope of the upper line, false if of the lower line
    lower, upper  `[N]`, the root's bounds of the pre-activations
    """

    unstable: Mapping[str, UnstableNeurons]
    columns: Mapping[str, slice]
    split_points: Tensor
    concave: Tensor
    lower: Tensor
    upper: Tensor

    @property
    def count(self) -> int:
        return len(self.split_points)

    @property
    def box(self) -> Interval:
        """The root's bounds, `[1, N]`."""
        return Interval(self.lower.unsqueeze(0), self.upper.unsqueeze(0))

    @property
    def initial(self) -> Tensor:
        """CROWN's α of every neuron, `[N]`."""
        parts = [self.unstable[node].initial[0] for node in self.columns]
        return torch.cat(parts) if parts else self.lower


def neurons_of(
    program: Program, bounds: Mapping[str, Interval], like: Tensor | None = None
) -> Neurons:
    """Find the neurons that are unstable under bounds of one root domain (D = 1).

    A network without nonlinear nodes has none. The empty tensors then have the dtype and device of
    `like`.
    """
    unstable, columns = {}, {}
    if not program.nonlinear:
        nothing = torch.empty(0) if like is None else like.new_empty(0)
        return Neurons({}, {}, nothing, nothing.bool(), nothing, nothing)
    points, concave, lower, upper = [], [], [], []
    count = 0
    for node in program.nonlinear:
        neurons = unstable_neurons_of(node, bounds)
        unstable[node.name] = neurons
        size = len(neurons.index)
        columns[node.name] = slice(count, count + size)
        count += size
        point = RULES[node.op].split_point
        splits = point is not None and one_by_one(node)
        box = bounds[node.inputs[0]]
        lower.append(box.lower.flatten()[neurons.index])
        upper.append(box.upper.flatten()[neurons.index])
        value = point(neurons.part) if point is not None and splits else math.nan
        points.append(torch.zeros_like(lower[-1]) + torch.as_tensor(value).to(lower[-1]))
        concave.append(torch.full_like(lower[-1], RULES[node.op].concave, dtype=torch.bool))
    joined = (torch.cat(values) for values in (points, concave, lower, upper))
    return Neurons(unstable, columns, *joined)


def cut_at_splits(box: Interval, splits: Tensor, points: Tensor) -> Interval:
    """Intersect bounds `[D or 1, N]` with splits at `points` `[N]`.

    `splits` `[D, N]` is 1 for z ≥ point, −1 for z ≤ point, 0 for no split.
    """
    return Interval(
        torch.where(splits > 0, torch.maximum(box.lower, points), box.lower),
        torch.where(splits < 0, torch.minimum(box.upper, points), box.upper),
    )
