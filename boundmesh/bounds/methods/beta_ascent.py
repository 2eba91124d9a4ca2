"""β-CROWN's ascent optimises α and β of a batch of domains together (arXiv 2103.06624)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.bounds.methods.adam import Adam, StepSizes
from boundmesh.bounds.methods.beta import DomainBounder
from boundmesh.bounds.methods.domain_bounds import (
    BoundedDomains,
    DomainParameters,
    better,
    in_order,
)
from boundmesh.kernels.gradient_use import GradientNotes
from boundmesh.kernels.recorded import Step, recorded_at_first_call

# How many steps lie between two checks of which domains are proved. A check waits for the device.
LEAVE = 5
# Proved domains with fewer α than this stay in the batch, as a new recording would cost more.
LEAST_TO_LEAVE = 2**20


@dataclass(frozen=True)
class Ascent:
    """The schedule of the optimisation of α and β.

    iterations  how many steps of Adam are taken, at most
    alpha_rate  Adam's learning rate for α in the first step
    beta_rate   the same for β, relative to the mean coefficient of the unstable neurons' outputs
    decay       the factor on both rates after each step
    """

    iterations: int = 20
    alpha_rate: float = 0.2
    beta_rate: float = 1.0
    decay: float = 0.97


def climb(
    bounder: DomainBounder,
    rows: Tensor,
    offset: Tensor,
    start: DomainParameters,
    ascent: Ascent,
    check: Callable[[], None],
) -> BoundedDomains:
    """Optimise α and β of all domains, and return the best result of each.

    α and β are returned in 16 bits, and coefficients are not returned. Proved domains may leave the
    batch at every `LEAVE`th step. If each rank has domains of its own, all ranks end together.
    """
    batch = Batch(bounder, rows, offset, start)
    proved: list[tuple[Tensor, BoundedDomains]] = []
    again: Step | None = None
    for step in range(1, ascent.iterations + 1):
        check()
        batch.prepare(ascent, step)
        if again is None:
            batch.rise()
            again = recorded_at_first_call(batch.rise, rows.device, recordable=batch.recordable)
        else:
            again()
        if step % LEAVE == 1:
            gone = batch.leave()
            if gone is not None:
                proved.append(gone)
                again = None
            if not len(batch.where):
                break
    else:
        check()
        batch.bound(gradients=False)
    return in_order([*proved, (batch.where, batch.best)])


class Batch:
    """The state of the optimisation of a batch of domains.

    `where` `[D]` are the places of the remaining domains among all domains at the start. A step
    reads and writes the same tensors in place, until domains leave.
    """

    def __init__(
        self, bounder: DomainBounder, rows: Tensor, offset: Tensor, start: DomainParameters
    ) -> None:
        self.bounder, self.rows, self.offset = bounder, rows, offset
        # Neither splits nor clipped ranges change during the optimisation, nor do the bounds.
        self.start, self.box = start, bounder.box(start)
        # Both are copied, because steps write to them.
        self.alpha = start.alpha.to(rows.dtype, copy=True)
        self.beta = start.beta.to(rows.dtype, copy=True)
        self.climbers = Adam(self.alpha, unit=True), Adam(self.beta, unit=False)
        self.pace = StepSizes(2, rows)
        self.notes = _no_notes(self.alpha, self.beta) if bounder.takes_notes else None
        self.where = torch.arange(len(rows), device=rows.device)
        self.best: BoundedDomains | None = None
        self.scale: Tensor | None = None

    @property
    def recordable(self) -> bool:
        return self.bounder.recordable

    def prepare(self, ascent: Ascent, step: int) -> None:
        """Set the step sizes of step `step`, counted from 1."""
        decay = ascent.decay ** (step - 1)
        self.pace.set((ascent.alpha_rate * decay, step), (ascent.beta_rate * decay, step))

    def rise(self) -> None:
        """Run one sweep with the present α and β, and one step of Adam: α ∈ [0, 1], β ≥ 0."""
        up, over = self.bound(gradients=True)
        (alpha, beta), (pace, pace_beta) = self.climbers, self.pace.steps
        self.alpha = alpha.ascend(self.alpha, up, pace, None)
        self.beta = beta.ascend(self.beta, over, pace_beta, self.scale)

    def bound(self, gradients: bool) -> tuple[Tensor, Tensor]:
        """Run one sweep with the present α and β; return the gradients to them if `gradients`."""
        self.alpha.requires_grad_(gradients)
        self.beta.requires_grad_(gradients)
        up = self.alpha, self.beta
        with torch.set_grad_enabled(gradients):
            notes = self.notes if gradients else None
            parameters = replace(self.start, alpha=self.alpha, beta=self.beta, notes=notes)
            bounded = self.bounder.bound(
                self.rows, self.offset, parameters, watch=self.scale is None, box=self.box
            )
            if gradients:
                up = self._gradients(bounded.margin)
        self.alpha, self.beta = self.alpha.detach(), self.beta.detach()
        if self.scale is None:
            self.scale = bounded.coefficients.detach().abs().mean((1, 2), keepdim=True)
        self.best = better(self.best, bounded)
        return up

    def _gradients(self, margin: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the gradients of the sum of all margins to α and β.

        Kernels write some of them to `notes` during the backward pass; autograd returns the others.
        """
        leaves, notes = [self.alpha, self.beta], self.notes
        if not margin.requires_grad:
            # If no neuron is unstable, the margin does not depend on α and β.
            return torch.zeros_like(self.alpha), torch.zeros_like(self.beta)
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

    def leave(self) -> tuple[Tensor, BoundedDomains] | None:
        """Remove and return the proved domains, if there are enough of them; else return None."""
        assert self.best is not None and self.scale is not None
        still = ~(self.best.margin > 0)
        left = int(still.sum())
        anywhere = bool(self.bounder.problem.layout.on_any_rank(torch.tensor(left > 0)))
        if anywhere and not left:
            still[0] = True  # One domain stays, so that this rank sweeps as often as the others.
        elif left and not self._worth(len(still) - left):
            return None
        gone = self.where[~still], self.best.take(~still)
        self.where, self.best = self.where[still], self.best.take(still)
        self.rows, self.offset = self.rows[still], self.offset[still]
        self.alpha, self.beta = self.alpha[still], self.beta[still]
        self.start, self.box = self.start.take(still), self.box.take(still)
        self.scale = self.scale[still]
        self.notes = self.notes and _no_notes(self.alpha, self.beta)
        for climber in self.climbers:
            climber.keep(still)
        return gone

    def _worth(self, proved: int) -> bool:
        """Return True if dropping the `proved` domains saves more than a new recording costs."""
        enough = 4 * proved >= len(self.where)
        if self.recordable:
            return enough and proved * self.alpha[0].numel() >= LEAST_TO_LEAVE
        return enough


def _no_notes(alpha: Tensor, beta: Tensor) -> GradientNotes:
    """Create zero tensors for the gradients of parameters; those that no sweep passes stay zero."""
    tick = alpha.new_zeros((), requires_grad=True)
    return GradientNotes(torch.zeros_like(alpha), torch.zeros_like(beta), tick)
