"""Relaxations of nonlinear nodes in domains with split neurons (β-CROWN, arXiv 2103.06624)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from boundmesh.bounds.methods.crown import intersect
from boundmesh.bounds.methods.domain_bounds import DomainParameters
from boundmesh.bounds.relaxation.cuts import CutValues
from boundmesh.bounds.relaxation.drawn import Drawn, NeuronLines
from boundmesh.bounds.relaxation.fixed_lines import SharedLines
from boundmesh.bounds.relaxation.lines import boxes_of, in_one_pass, pieces_of
from boundmesh.bounds.relaxation.neurons import Neurons
from boundmesh.bounds.sweep.largest_row import one_by_one
from boundmesh.bounds.sweep.rows import Tile
from boundmesh.kernels.gradient_use import NO_GRADIENT
from boundmesh.kernels.pieces import Pieces
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.rounding import INFLATION, gamma


class SplitLines:
    """Relaxations for D domains.

    A neuron that is stable in the root domain has the root's lines. An unstable neuron has lines
    from each domain's bounds.

    bounds      the root's bounds of the start nodes, by name
    neurons     the N unstable neurons of the root
    shared      the root's lines, which all rows share
    parameters  α, β and splits of the domains
    box         the bounds `[D or 1, N]` of the unstable neurons in each domain
    additions   how many biases a row adds up during a sweep, at most
    cuttable    the values that domains can cut (None: there are none)
    """

    def __init__(
        self,
        bounds: Mapping[str, Interval],
        neurons: Neurons,
        shared: SharedLines,
        parameters: DomainParameters,
        box: Interval,
        additions: int,
        cuttable: CutValues | None = None,
    ) -> None:
        self._bounds, self._neurons = bounds, neurons
        self._shared, self._parameters, self._box = shared, parameters, box
        self._additions, self._cuttable, self._boxes = additions, cuttable, dict(bounds)
        if cuttable is not None and parameters.cuts is not None:
            self._boxes |= cuttable.boxes(parameters.cuts, bounds)
        self._split_starts = {
            neurons.unstable[name].part.inputs[0]: name
            for name in neurons.columns
            if one_by_one(neurons.unstable[name].part)
        }

    def __call__(self, node: Node, tile: Tile) -> Drawn | Pieces:
        drawn, cuts = self._drawn(node), self._parameters.cuts
        if self._cuttable is None or cuts is None or isinstance(drawn, Pieces):
            return drawn
        share = self._share(cuts.place.shape[1])
        taken = self._cuttable.taken(node, cuts, self._parameters.beta_of_cuts, share)
        return replace(drawn, taken=taken)

    def _drawn(self, node: Node) -> Drawn | Pieces:
        index, columns = self._neurons.unstable[node.name].index, self._neurons.columns[node.name]
        if not len(index):
            return Drawn(self._shared(node))
        inputs = boxes_of(node, self._bounds)
        if in_one_pass(node, inputs[0].lower):
            return self._pieces(node, inputs[0], columns)
        alpha = self._parameters.alpha[..., columns].to(inputs[0].lower.dtype)
        operator = RULES[node.op]
        assert operator.relax is not None
        if not one_by_one(node):
            shape = (*alpha.shape[:2], *node.input_shapes[0])
            wide = tuple(_wide(self._narrowed(name), len(alpha)) for name in node.inputs)
            return Drawn(operator.relax(node, wide, alpha.reshape(shape)))
        box, multipliers = Interval(self._box.lower[:, columns], self._box.upper[:, columns]), None
        points = None
        if operator.split_point is not None:
            # If an operator bends at zero, multipliers add nothing to the bias.
            points = self._neurons.split_points[columns] if operator.slope_below is None else None
            multipliers = self._parameters.beta[..., columns] * self._parameters.splits[
                :, columns
            ].unsqueeze(1)
        at_neurons = operator.relax(self._neurons.unstable[node.name].part, (box,), alpha)
        whole = len(index) == node.size
        return Drawn(
            None if whole else self._shared(node),
            NeuronLines(index, at_neurons, multipliers, points, self._share(len(index))),
        )

    def _narrowed(self, start: str) -> Interval:
        """Return the bounds of a start node in each domain, cut where its neurons are split."""
        box, reader = self._boxes[start], self._split_starts.get(start)
        if reader is None or not len(self._neurons.unstable[reader].index):
            return box
        index, columns = self._neurons.unstable[reader].index, self._neurons.columns[reader]
        domains = max(len(box.lower), len(self._box.lower))
        wide = _wide(box, domains)
        split = _wide(Interval(self._box.lower[:, columns], self._box.upper[:, columns]), domains)
        return intersect(wide, index, split.lower, split.upper)

    def _share(self, terms: int) -> float:
        """Bound the relative rounding error of Σ multiplier·point until the end of the sweep."""
        roundings = terms + self._additions + 2
        return INFLATION * gamma(roundings, torch.finfo(self._box.lower.dtype).eps / 2)

    def _pieces(self, node: Node, root: Interval, columns: slice) -> Pieces:
        parameters, notes = self._parameters, self._parameters.notes
        return pieces_of(
            node,
            root,
            places=self._neurons.unstable[node.name].places,
            tighter_bounds=(self._box.lower[:, columns], self._box.upper[:, columns]),
            alpha=parameters.alpha.detach()[..., columns],
            beta=parameters.beta.detach()[..., columns],
            splits=parameters.splits[:, columns],
            gradient_use=NO_GRADIENT if notes is None else notes.at(columns),
        )


def _wide(box: Interval, domains: int) -> Interval:
    shape = (domains, *box.lower.shape[1:])
    return Interval(box.lower.expand(shape), box.upper.expand(shape))
