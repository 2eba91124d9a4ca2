"""β-CROWN: bounds of many domains at once, slopes and split multipliers optimised together.

For a domain with splits s·z ≥ 0 and any β ≥ 0 (arXiv 2103.06624)

    min over the domain of ⟨row, f(x)⟩ ≥ min over the region of (bound of α-CROWN with the
    coefficient of every split pre-activation z lowered by β·s)

The bounds of the start nodes are the root's, cut at the split points. Every domain has rows of its
own, those of the clause it is to refute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.backward import Carried, input_rows
from boundmesh.bounds.crown import Problem
from boundmesh.bounds.lines import Drawn, Overlay, SharedLines, at, boxes_of, one_by_one
from boundmesh.bounds.mixture import mixed_margin
from boundmesh.bounds.parameters import Undecided
from boundmesh.bounds.rows import DenseRows, Tile
from boundmesh.graph.graph import Node
from boundmesh.rules import RULES
from boundmesh.rules.operator import Interval


@dataclass(frozen=True)
class Parameters:
    """α and β `[D, S, N]` and splits `[D, N]` (int8) of D domains, nodes side by side."""

    alpha: Tensor
    beta: Tensor
    splits: Tensor


class SplitLines:
    """Lines for domains: the root's, but at undecided neurons those of each domain's bounds.

    `seen` keeps the coefficients of the undecided neurons' outputs, `[D, S, U]` by node.
    """

    def __init__(
        self,
        bounds: Mapping[str, Interval],
        undecided: Mapping[str, Undecided],
        places: Mapping[str, slice],
        shared: SharedLines,
        parameters: Parameters,
    ) -> None:
        self._bounds, self._undecided, self._places = bounds, undecided, places
        self._shared, self._parameters = shared, parameters

    def __call__(self, node: Node, tile: Tile) -> Drawn:
        index, place = self._undecided[node.name].index, self._places[node.name]
        if not len(index):
            return Drawn(self._shared(node))
        inputs = boxes_of(node, self._bounds)
        alpha = self._parameters.alpha[..., place]
        operator = RULES[node.op]
        assert operator.relax is not None
        if not one_by_one(node):
            shape = (*alpha.shape[:2], *node.input_shapes[0])
            wide = tuple(_wide(box, len(alpha)) for box in inputs)
            return Drawn(operator.relax(node, wide, alpha.reshape(shape)))
        box, multipliers = at(inputs[0], index), None
        if operator.split_point is not None:
            splits = self._parameters.splits[:, place]
            box = cut_at_splits(box, splits, operator.split_point(node))
            multipliers = self._parameters.beta[..., place] * splits.unsqueeze(1)
        own = operator.relax(node, (box,), alpha)
        whole = len(index) == node.size
        return Drawn(None if whole else self._shared(node), Overlay(index, own, multipliers))


def cut_at_splits(box: Interval, splits: Tensor, point: float) -> Interval:
    """Root bounds `[1, U]` cut to what `splits` `[D, U]` leave of them."""
    return Interval(
        torch.where(splits > 0, box.lower.clamp(min=point), box.lower),
        torch.where(splits < 0, box.upper.clamp(max=point), box.upper),
    )


def _wide(box: Interval, domains: int) -> Interval:
    shape = (domains, *box.lower.shape[1:])
    return Interval(box.lower.expand(shape), box.upper.expand(shape))


@dataclass(frozen=True)
class Bounded:
    """The best margin `[D]`, the parameters it came from, the coefficients of the undecided
    neurons' outputs `[D, S, N]` (N = 0 where they were not watched), and the rows at the input
    `[D, S, *input_shape]`."""

    margin: Tensor
    parameters: Parameters
    coefficients: Tensor
    at_input: Tensor

    def take(self, which: Tensor) -> Bounded:
        """Those of the domains at `which` (indices or mask)."""
        parameters = Parameters(
            self.parameters.alpha[which], self.parameters.beta[which], self.parameters.splits[which]
        )
        at_input = self.at_input[which] if self.at_input.dim() else self.at_input
        return Bounded(self.margin[which], parameters, self.coefficients[which], at_input)


class DomainBounder:
    """Bounds domains of one region: the root's bounds, lines and layout, made once."""

    def __init__(
        self,
        problem: Problem,
        bounds: Mapping[str, Interval],
        undecided: Mapping[str, Undecided],
        places: Mapping[str, slice],
    ) -> None:
        self.problem, self.bounds = problem, bounds
        self.undecided, self.places = undecided, places
        index = {name: mine.index for name, mine in undecided.items()}
        self.shared = SharedLines(bounds, index)
        # Only where the neurons of output and input are the same can they be told from outside.
        self.watched = frozenset(n.name for n in problem.program.nonlinear if one_by_one(n))

    def bound(
        self, rows: Tensor, offset: Tensor, parameters: Parameters, watch: bool = True
    ) -> Bounded:
        """One sweep: rows `[D, S, *output_shape]`, `offset` `[D, S]` is taken off their bounds;
        the margin of a domain is that of the best mixture of its rows."""
        program = self.problem.program
        draw = SplitLines(self.bounds, self.undecided, self.places, self.shared, parameters)
        tile = Tile(program.target, slice(0, rows.shape[1]), DenseRows(rows))
        watched = self.watched if watch else frozenset[str]()
        found = input_rows(self.problem.layout, program, tile, draw, watched)
        seen = self._seen(found, parameters) if watch else parameters.alpha[..., :0].detach()
        at_input = found.at_input(program.graph.input, rows)
        return Bounded(self._margin(found, offset), parameters, seen, at_input)

    def _seen(self, found: Carried, parameters: Parameters) -> Tensor:
        every = [
            found.seen[name].flatten(2)[..., self.undecided[name].index]
            if name in found.seen
            else parameters.alpha.new_zeros(*parameters.alpha.shape[:2], _length(place))
            for name, place in self.places.items()
        ]
        return torch.cat([each.expand(len(parameters.alpha), -1, -1) for each in every], dim=2)

    def _margin(self, found: Carried, offset: Tensor) -> Tensor:
        name, region = self.problem.program.graph.input, self.problem.region
        rows = found.at.get(name)
        if rows is None or offset.shape[1] == 1:
            return (found.minimum(name, region) - offset).amax(1)
        constants = -offset if found.bias is None else found.bias - offset
        return mixed_margin(region, rows, constants)


def _length(place: slice) -> int:
    return place.stop - place.start
