"""What branch and bound knows of a batch of domains: what their bounds are made with, and the best
that was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.bounds.methods.adam import keep_winners
from boundmesh.bounds.relaxation.slopes import STORED
from boundmesh.kernels.pieces import Notes
from boundmesh.operators.operator import Interval


@dataclass(frozen=True)
class DomainParameters:
    """α and β `[D, S, N]` and splits `[D, N]` (int8) of D domains, nodes side by side; `box` the
    bounds `[D, n + U]` of the values that clipping cuts, where it does; `notes` where gradients to
    α and β are to be written, for nodes whose lines are drawn in one pass."""

    alpha: Tensor
    beta: Tensor
    splits: Tensor
    box: Interval | None = None
    notes: Notes | None = None

    def take(self, which: Tensor) -> DomainParameters:
        """Those of the domains at `which` (indices or mask)."""
        box = self.box and self.box.take(which)
        return DomainParameters(self.alpha[which], self.beta[which], self.splits[which], box)


@dataclass(frozen=True)
class BoundedDomains:
    """What a sweep found for D domains.

    margin        `[D]`                    the best margin
    lost          `[D]`                    what was taken off it for rounding
    parameters                             what it came from
    coefficients  `[D, S, N]`              those of the undecided neurons' outputs; N = 0 where
                                           they were not watched
    at_input      `[D, S, *input_shape]`   the rows at the input
    constants     `[D, S]`                 their constants less the offset and all rounding
    """

    margin: Tensor
    lost: Tensor
    parameters: DomainParameters
    coefficients: Tensor
    at_input: Tensor
    constants: Tensor

    def take(self, which: Tensor) -> BoundedDomains:
        """Those of the domains at `which` (indices or mask)."""
        at_input = self.at_input[which] if self.at_input.dim() else self.at_input
        return BoundedDomains(
            self.margin[which],
            self.lost[which],
            self.parameters.take(which),
            self.coefficients[which],
            at_input,
            self.constants[which],
        )


def in_order(parts: list[tuple[Tensor, BoundedDomains | None]]) -> BoundedDomains:
    """One result of several, each domain back in its place."""
    found = [each for _, each in parts if each is not None]
    order = torch.argsort(torch.cat([where for where, _ in parts]))

    def together(pick: Callable[[BoundedDomains], Tensor]) -> Tensor:
        return torch.cat([pick(each) for each in found])[order]

    at_input = found[0].at_input
    return BoundedDomains(
        together(lambda each: each.margin),
        together(lambda each: each.lost),
        DomainParameters(
            together(lambda each: each.parameters.alpha),
            together(lambda each: each.parameters.beta),
            together(lambda each: each.parameters.splits),
            _boxes([each.parameters.box for each in found], order),
        ),
        together(lambda each: each.coefficients),
        together(lambda each: each.at_input) if at_input.dim() else at_input,
        together(lambda each: each.constants),
    )


def _boxes(boxes: list[Interval | None], order: Tensor) -> Interval | None:
    known = [box for box in boxes if box is not None]
    if not known:
        return None
    lower = torch.cat([box.lower for box in known])
    return Interval(lower[order], torch.cat([box.upper for box in known])[order])


def better(best: BoundedDomains | None, found: BoundedDomains) -> BoundedDomains:
    """Of two results, each domain's better one, written to `best`, α and β in 16 bits; a NaN is
    never better."""
    margin = found.margin.detach().nan_to_num(nan=-torch.inf, posinf=-torch.inf)
    alpha, beta = found.parameters.alpha.detach(), found.parameters.beta.detach()
    at_input, constants = found.at_input.detach(), found.constants.detach()
    lost = found.lost.detach()
    if at_input.dim():
        at_input = at_input.expand(len(margin), *at_input.shape[1:])
    if best is None:
        alpha, beta, at_input = alpha.to(STORED), beta.to(STORED), at_input.clone()
    else:
        won, known = margin > best.margin, best.parameters
        alpha = keep_winners(won, alpha, known.alpha)
        beta = keep_winners(won, beta, known.beta)
        constants = keep_winners(won, constants, best.constants)
        lost = keep_winners(won, lost, best.lost)
        if at_input.dim():
            at_input = keep_winners(won, at_input, best.at_input)
        margin = torch.maximum(margin, best.margin, out=best.margin)
    parameters = replace(found.parameters, alpha=alpha, beta=beta, notes=None)
    return BoundedDomains(margin, lost, parameters, alpha[..., :0], at_input, constants)
