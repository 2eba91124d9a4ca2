"""The state of a batch of domains in branch and bound: parameters of their bounds, and results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from boundmesh.bounds.methods.adam import keep_winners
from boundmesh.bounds.relaxation.cuts import Cuts
from boundmesh.bounds.relaxation.slopes import STORED
from boundmesh.kernels.gradient_use import GradientNotes
from boundmesh.operators.interval import Interval


@dataclass(frozen=True)
class DomainParameters:
    """The parameters of the bounds of D domains, for the N unstable neurons of the root.

    alpha   `[D, S, N]`, slopes in [0, 1]
    beta    `[D, S, N + M]`, multipliers ≥ 0 of the splits and of M cuts
    splits  `[D, N]` (int8): 1 for z ≥ split point, −1 for z ≤ split point, 0 for no split
    box     bounds `[D, n + U]` of the values that clipping cuts (None: there is no clipping)
    notes   tensors to which kernels write the gradients to α and β (None: there are none)
    cuts    the cuts of the domains, whose multipliers are the last M of β (None: no cut)
    """

    alpha: Tensor
    beta: Tensor
    splits: Tensor
    box: Interval | None = None
    notes: GradientNotes | None = None
    cuts: Cuts | None = None

    @property
    def beta_of_cuts(self) -> Tensor:
        """The multipliers of the cuts, `[D, S, M]`."""
        return self.beta[..., self.alpha.shape[2] :]

    def take(self, which: Tensor) -> DomainParameters:
        """Return the parameters of the domains `which` (indices or mask)."""
        box = self.box and self.box.take(which)
        cuts = self.cuts and self.cuts.take(which)
        return DomainParameters(
            self.alpha[which], self.beta[which], self.splits[which], box, cuts=cuts
        )


@dataclass(frozen=True)
class BoundedDomains:
    """The results of a sweep for D domains.

    margin        `[D]`, the best margin
    lost          `[D]`, what was subtracted from it for rounding
    parameters    the parameters that gave this margin
    coefficients  `[D, S, N]`, the coefficients of the unstable neurons' outputs; N = 0 if they were
                  not kept
    at_input      `[D, S, *input_shape]`, the rows at the input
    outputs       `[D, S, *shape]`, the coefficients at the outputs of the nodes that read values
                  that can be cut, by name; empty if they were not kept
    constants     `[D, S]`, the biases of the rows, less the offset and all rounding
    """

    margin: Tensor
    lost: Tensor
    parameters: DomainParameters
    coefficients: Tensor
    at_input: Tensor
    constants: Tensor
    outputs: Mapping[str, Tensor] = field(default_factory=dict)

    def take(self, which: Tensor) -> BoundedDomains:
        """Return the results of the domains `which` (indices or mask)."""
        at_input = self.at_input[which] if self.at_input.dim() else self.at_input
        return BoundedDomains(
            self.margin[which],
            self.lost[which],
            self.parameters.take(which),
            self.coefficients[which],
            at_input,
            self.constants[which],
            {name: rows[which] for name, rows in self.outputs.items()},
        )


def in_order(parts: list[tuple[Tensor, BoundedDomains | None]]) -> BoundedDomains:
    """Merge results of disjoint sets of domains; each part has the places of its domains."""
    batches = [domains for _, domains in parts if domains is not None]
    order = torch.argsort(torch.cat([where for where, _ in parts]))

    def joined(pick: Callable[[BoundedDomains], Tensor]) -> Tensor:
        return torch.cat([pick(domains) for domains in batches])[order]

    at_input = batches[0].at_input
    return BoundedDomains(
        joined(lambda domains: domains.margin),
        joined(lambda domains: domains.lost),
        DomainParameters(
            joined(lambda domains: domains.parameters.alpha),
            joined(lambda domains: domains.parameters.beta),
            joined(lambda domains: domains.parameters.splits),
            _boxes([domains.parameters.box for domains in batches], order),
            cuts=_cuts([domains.parameters.cuts for domains in batches], order),
        ),
        joined(lambda domains: domains.coefficients),
        joined(lambda domains: domains.at_input) if at_input.dim() else at_input,
        joined(lambda domains: domains.constants),
    )


def _boxes(boxes: list[Interval | None], order: Tensor) -> Interval | None:
    known = [box for box in boxes if box is not None]
    if not known:
        return None
    lower = torch.cat([box.lower for box in known])
    return Interval(lower[order], torch.cat([box.upper for box in known])[order])


def _cuts(parts: list[Cuts | None], order: Tensor) -> Cuts | None:
    known = [fields for fields in parts if fields is not None]
    if not known:
        return None
    place, sign, point = (
        torch.cat(fields)[order]
        for fields in zip(*((cuts.place, cuts.sign, cuts.point) for cuts in known), strict=True)
    )
    return Cuts(place, sign, point)


def better(best: BoundedDomains | None, bounded: BoundedDomains) -> BoundedDomains:
    """Return each domain's better result of two.

    The tensors of `best` are overwritten, with α and β in 16 bits. A margin of NaN is never better.
    """
    margin = bounded.margin.detach().nan_to_num(nan=-torch.inf, posinf=-torch.inf)
    alpha, beta = bounded.parameters.alpha.detach(), bounded.parameters.beta.detach()
    at_input, constants = bounded.at_input.detach(), bounded.constants.detach()
    lost = bounded.lost.detach()
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
    parameters = replace(bounded.parameters, alpha=alpha, beta=beta, notes=None)
    return BoundedDomains(margin, lost, parameters, alpha[..., :0], at_input, constants)
