"""Cuts domains to where a counterexample can be, by the linear rows that bounded them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from boundmesh.bounds.clipping.affine_values import AffineValues
from boundmesh.bounds.clipping.constraints import Constraints, clip
from boundmesh.bounds.methods.beta import DomainBounder
from boundmesh.bounds.methods.domain_bounds import BoundedDomains
from boundmesh.bounds.sweep.largest_row import one_by_one
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines
from boundmesh.search.domain import Domains


def clipped(
    domains: Domains, bounded: BoundedDomains, bounder: DomainBounder, cushion: Tensor
) -> Domains:
    """Cut the bounds of the domains' values to where every atom of their clause can hold.

    `bounded` is the result of one sweep with the domains' own parameters. Points whose margin is
    above `cushion` `[D, S]` ≥ 0 are cut off. A domain with only such points becomes empty.
    """
    values = bounder.values
    if values is None or bounded.at_input.dim() < 3:
        return domains
    constraints = _constraints(values, bounded, bounder, cushion)
    region, box = bounder.region(bounded.parameters), bounder.box(bounded.parameters)
    assert isinstance(region, BoxRegion)
    box = clip(values, values.of(region, box), constraints)
    return replace(domains, lower=box.lower, upper=box.upper)


def cut_domains(
    domains: Domains, bounded: BoundedDomains, bounder: DomainBounder, cushion: Tensor
) -> tuple[Domains, BoundedDomains]:
    """Clip domains; return those that are not empty, and their part of `bounded`."""
    domains = clipped(domains, bounded, bounder, cushion)
    still = ~empty(domains)
    return domains.take(still), bounded.take(still)


def empty(domains: Domains) -> Tensor:
    """Return the mask `[D]` of domains that contain no point; NaN counts as a point."""
    return (domains.lower > domains.upper).any(1)


def _constraints(
    values: AffineValues, bounded: BoundedDomains, bounder: DomainBounder, cushion: Tensor
) -> Constraints:
    """Return the rows at the input, and how far another slope α may change their neuron terms.

    A row has coefficient A ≥ 0 at the output of a neuron z whose line below is (s + α·d)·z with any
    α in [0, 1]. So A·d·(1 − α)·z may be added to the row, or A·d·α·z subtracted from it.
    """
    alpha = bounded.parameters.alpha
    turns = _turns(bounder, bounder.box(bounded.parameters)).unsqueeze(1)
    turn = bounded.coefficients.clamp(min=0) * turns
    more, less = ((turn * part)[..., values.places] for part in (1 - alpha, alpha))
    return Constraints(bounded.at_input.flatten(2), bounded.constants - cushion, more, less)


def _turns(bounder: DomainBounder, box: Interval) -> Tensor:
    """Return d `[D, N]`, the amount by which the slope of each neuron's lower line rises with α.

    d is zero where the line does not pass through zero at every α.
    """
    turns = []
    for node in bounder.problem.program.nonlinear:
        columns, operator = bounder.neurons.columns[node.name], RULES[node.op]
        interval = Interval(box.lower[:, columns], box.upper[:, columns])
        turns.append(torch.zeros_like(interval.lower))
        if operator.split_point is None or operator.relax is None or not one_by_one(node):
            continue
        part = bounder.neurons.unstable[node.name].part
        ends = [torch.full_like(interval.lower, end).unsqueeze(1) for end in (0.0, 1.0)]
        flat, steep = (operator.relax(part, (interval,), alpha) for alpha in ends)
        assert isinstance(flat, Lines) and isinstance(steep, Lines)
        if flat.lower_intercept is None and steep.lower_intercept is None:
            turns[-1] = (steep.lower_slopes[0] - flat.lower_slopes[0]).squeeze(1)
    return torch.cat(turns, dim=1)
