"""The climb of β-CROWN: α and β of a batch of domains optimised together (arXiv 2103.06624)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.bounds.beta import Bounded, DomainBounder, Parameters
from boundmesh.bounds.parameters import STORED
from boundmesh.rules.operator import Interval
from boundmesh.rules.pieces import Notes

# Steps between two looks at which domains are proved: each look waits for the device.
LEAVE = 5


@dataclass(frozen=True)
class Ascent:
    """How α and β climb: Adam's steps, its rates (β's is relative to the rows' coefficients)."""

    iterations: int = 20
    alpha_rate: float = 0.2
    beta_rate: float = 1.0
    decay: float = 0.97


def climb(
    bounder: DomainBounder,
    rows: Tensor,
    offset: Tensor,
    start: Parameters,
    ascent: Ascent,
    check: Callable[[], None],
) -> Bounded:
    """Optimise α and β of all domains; each keeps its best margin and where it was reached, to the
    16 bits that α and β are kept in, without coefficients.

    Domains that are proved leave the batch at every `LEAVE`th step.
    """
    climb = _Climb(bounder, rows, offset, start)
    proved: list[tuple[Tensor, Bounded]] = []
    for step in range(1, ascent.iterations + 2):
        check()
        climb.bound(gradients=step <= ascent.iterations)
        if step % LEAVE == 1 or step > ascent.iterations:
            proved += climb.leave()
            if not len(climb.where) or step > ascent.iterations:
                break
        climb.ascend(ascent, step)
    return _in_order([*proved, (climb.where, climb.best)])


class _Climb:
    """A batch on its way up: domains `where` of those that it began with."""

    def __init__(
        self, bounder: DomainBounder, rows: Tensor, offset: Tensor, start: Parameters
    ) -> None:
        self.bounder, self.rows, self.offset = bounder, rows, offset
        # Neither splits nor clipped ranges change on the way up, nor do the bounds they leave.
        self.start, self.box = start, bounder.box(start)
        self.alpha, self.beta = start.alpha.to(rows.dtype), start.beta.to(rows.dtype)
        self.climbers = _Adam(self.alpha), _Adam(self.beta)
        self.notes = _no_notes(self.alpha) if bounder.takes_notes else None
        self.where = torch.arange(len(rows), device=rows.device)
        self.best: Bounded | None = None
        self.scale: Tensor | None = None

    def bound(self, gradients: bool) -> None:
        """One sweep from where α and β are now."""
        self.alpha.requires_grad_(gradients)
        self.beta.requires_grad_(gradients)
        with torch.set_grad_enabled(gradients):
            notes = self.notes if gradients else None
            parameters = replace(self.start, alpha=self.alpha, beta=self.beta, notes=notes)
            found = self.bounder.bound(
                self.rows, self.offset, parameters, watch=self.scale is None, box=self.box
            )
            if gradients:
                self.up = self._gradients(found.margin)
        self.alpha, self.beta = self.alpha.detach(), self.beta.detach()
        if self.scale is None:
            self.scale = found.coefficients.detach().abs().mean((1, 2), keepdim=True)
        self.best = better(self.best, found)

    def _gradients(self, margin: Tensor) -> tuple[Tensor, Tensor]:
        """Of the sum of all margins, to α and β: what autograd finds and what its way notes."""
        leaves, notes = [self.alpha, self.beta], self.notes
        if notes is None:
            up, over = torch.autograd.grad(
                margin.sum(), leaves, allow_unused=True, materialize_grads=True
            )
            return up, over
        up, over, _ = torch.autograd.grad(margin.sum(), [*leaves, notes.tick], allow_unused=True)
        return (
            notes.alpha if up is None else up + notes.alpha,
            notes.beta if over is None else over + notes.beta,
        )

    def ascend(self, ascent: Ascent, step: int) -> None:
        """One step of Adam, then back into α ∈ [0, 1], β ≥ 0."""
        assert self.scale is not None
        decay = ascent.decay ** (step - 1)
        (alpha, beta), (up_alpha, up_beta) = self.climbers, self.up
        beta_rate = ascent.beta_rate * decay * self.scale
        self.alpha = alpha.ascend(self.alpha, up_alpha, ascent.alpha_rate * decay, step)
        self.beta = beta.ascend(self.beta, up_beta, beta_rate, step)
        self.alpha.clamp_(0, 1)
        self.beta.clamp_(min=0)

    def leave(self) -> list[tuple[Tensor, Bounded]]:
        """Let the proved domains go, if they are enough to be worth the moving."""
        assert self.best is not None and self.scale is not None
        still = ~(self.best.margin > 0)
        left = int(still.sum())
        if left and 4 * left > 3 * len(still):
            return []
        gone = [(self.where[~still], self.best.take(~still))]
        self.where, self.best = self.where[still], self.best.take(still)
        self.rows, self.offset = self.rows[still], self.offset[still]
        self.alpha, self.beta = self.alpha[still], self.beta[still]
        self.start, self.box = self.start.take(still), self.box.take(still)
        self.scale, (up, over) = self.scale[still], self.up
        self.up = up[still], over[still]
        self.notes = self.notes and _no_notes(self.alpha)
        for climber in self.climbers:
            climber.keep(still)
        return gone


def _no_notes(like: Tensor) -> Notes:
    """Room for the gradients of parameters like these; what no sweep passes stays zero."""
    tick = like.new_zeros((), requires_grad=True)
    return Notes(torch.zeros_like(like), torch.zeros_like(like), tick)


def _in_order(parts: list[tuple[Tensor, Bounded | None]]) -> Bounded:
    """One result of several, each domain back in its place."""
    found = [each for _, each in parts if each is not None]
    order = torch.argsort(torch.cat([where for where, _ in parts]))

    def together(pick: Callable[[Bounded], Tensor]) -> Tensor:
        return torch.cat([pick(each) for each in found])[order]

    at_input = found[0].at_input
    return Bounded(
        together(lambda each: each.margin),
        Parameters(
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


def better(best: Bounded | None, found: Bounded) -> Bounded:
    """Of two results, each domain's better one; a NaN is never better."""
    margin = found.margin.detach().nan_to_num(nan=-torch.inf, posinf=-torch.inf)
    won = None if best is None else margin > best.margin

    def pick(a: Tensor, b: Callable[[Bounded], Tensor]) -> Tensor:
        if best is None or won is None:
            return a.detach()
        return torch.where(won.reshape(-1, *[1] * (a.dim() - 1)), a.detach(), b(best))

    return Bounded(
        pick(margin, lambda each: each.margin),
        replace(
            found.parameters,
            notes=None,
            alpha=pick(found.parameters.alpha.to(STORED), lambda each: each.parameters.alpha),
            beta=pick(found.parameters.beta.to(STORED), lambda each: each.parameters.beta),
        ),
        found.parameters.alpha[..., :0].detach(),
        pick(found.at_input, lambda each: each.at_input),
        pick(found.constants, lambda each: each.constants),
    )


class _Adam:
    """Adam (arXiv 1412.6980) on one tensor, uphill."""

    def __init__(self, values: Tensor) -> None:
        self.first, self.second = torch.zeros_like(values), torch.zeros_like(values)

    def ascend(self, values: Tensor, gradient: Tensor, rate: Tensor | float, step: int) -> Tensor:
        """The values after one step; where the gradient is no number they stay."""
        gradient = gradient.nan_to_num_(0.0)
        self.first.lerp_(gradient, 1 - 0.9)
        self.second.mul_(0.999).addcmul_(gradient, gradient, value=1 - 0.999)
        spread = (self.second / (1 - 0.999**step)).sqrt_().add_(1e-12)
        return values + rate * (self.first / (1 - 0.9**step)).div_(spread)

    def keep(self, which: Tensor) -> None:
        """Go on with the domains `which` alone."""
        self.first, self.second = self.first[which], self.second[which]
