"""Defines what is done with the gradients to α and β where a kernel computes them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class NoGradient:
    """No gradient to α is computed."""

    tick: Tensor | None = None
    flags = False, False
    """Two flags: α takes steps, and its gradient is written."""

    @property
    def arguments(self) -> tuple[Tensor | None, ...]:
        """The moments of α, the pace, and the tensors for the gradients to α and β."""
        return None, None, None, None, None


@dataclass(frozen=True)
class AdamSteps:
    """α takes a step of Adam along its gradient, in place.

    first   `[D, S, U]`, bfloat16: the first moments
    second  `[D, S, U]`, bfloat16: the second moments
    pace    `[3]`: the rate, and the divisors of the moments, `1 − 0.9^t` and `1 − 0.999^t`
    tick    a tensor that requires a gradient, so that autograd calls the backward pass
    """

    first: Tensor
    second: Tensor
    pace: Tensor
    tick: Tensor
    flags = True, False

    @property
    def arguments(self) -> tuple[Tensor | None, ...]:
        return self.first, self.second, self.pace, None, None


@dataclass(frozen=True)
class GradientNotes:
    """Gradients to α and β are written to tensors.

    alpha  `[D, S, U]`, with the strides of α: receives the gradient to α
    beta   `[D, S, U]`, with the strides of β: receives the gradient to β
    tick   a tensor that requires a gradient, so that autograd calls the backward pass
    """

    alpha: Tensor
    beta: Tensor
    tick: Tensor
    flags = False, True

    @property
    def arguments(self) -> tuple[Tensor | None, ...]:
        return None, None, None, self.alpha, self.beta

    def at(self, place: slice) -> GradientNotes:
        """Return the notes for a range of the parameters."""
        return GradientNotes(self.alpha[..., place], self.beta[..., place], self.tick)


GradientUse = NoGradient | AdamSteps | GradientNotes
NO_GRADIENT = NoGradient()
