"""The climb of β-CROWN: α and β of a batch of domains optimised together (arXiv 2103.06624)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.bounds.adam import Adam, keep_winners
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

    Domains that are proved leave the batch at every `LEAVE`th step. Where ranks climb with domains
    of their own, the climb ends on all of them together.
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
        self.climbers = Adam(self.alpha, unit=True), Adam(self.beta, unit=False)
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
        self.alpha = alpha.ascend(self.alpha, up_alpha, ascent.alpha_rate * decay, None, step)
        self.beta = beta.ascend(self.beta, up_beta, ascent.beta_rate * decay, self.scale, step)

    def leave(self) -> list[tuple[Tensor, Bounded]]:
        """Let the proved domains go, if they are enough to be worth the moving."""
        assert self.best is not None and self.scale is not None
        still = ~(self.best.margin > 0)
        left = int(still.sum())
        anywhere = bool(self.bounder.problem.layout.some(torch.tensor(left > 0)))
        if anywhere and not left:
            still[0] = True  # goes on, so that this rank sweeps as often as the others
        elif left and 4 * left > 3 * len(still):
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
    """Of two results, each domain's better one, α and β in 16 bits; a NaN is never better. May
    write to `best`."""
    margin = found.margin.detach().nan_to_num(nan=-torch.inf, posinf=-torch.inf)
    alpha, beta = found.parameters.alpha.detach(), found.parameters.beta.detach()
    at_input, constants = found.at_input.detach(), found.constants.detach()
    if at_input.dim():
        at_input = at_input.expand(len(margin), *at_input.shape[1:])
    if best is None:
        alpha, beta, at_input = alpha.to(STORED), beta.to(STORED), at_input.clone()
    else:
        won, known = margin > best.margin, best.parameters
        alpha = keep_winners(won, alpha, known.alpha)
        beta = keep_winners(won, beta, known.beta)
        constants = keep_winners(won, constants, best.constants)
        if at_input.dim():
            at_input = keep_winners(won, at_input, best.at_input)
        margin = torch.maximum(margin, best.margin)
    parameters = replace(found.parameters, alpha=alpha, beta=beta, notes=None)
    return Bounded(margin, parameters, alpha[..., :0], at_input, constants)
