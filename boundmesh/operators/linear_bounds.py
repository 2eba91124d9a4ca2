"""Rows pulled back through an operator, and the lines below and above a nonlinear one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from boundmesh.kernels import fused_rows
from boundmesh.kernels.sums import added
from boundmesh.operators.inner_products import signed_inner, signed_product


@dataclass(frozen=True)
class Pulled:
    """Rows after they were pulled back through one operator.

    coefficients  one tensor `[D, S, *input_shape]` per input of the operator
    bias          `[D, S]`, the constant that the operator adds to each row; None stands for zero

    Two inputs may share one tensor of coefficients, so callers must not write to them.
    """

    coefficients: tuple[Tensor, ...]
    bias: Tensor | None = None

    @property
    def only(self) -> Tensor:
        """The coefficients of an operator that has exactly one input."""
        (coefficients,) = self.coefficients
        return coefficients

    def onto(self, bias: Tensor | None) -> Pulled:
        """Return the same coefficients with `bias`, from an earlier step, added to their bias."""
        return Pulled(self.coefficients, added(bias, self.bias))


class Relaxation(Protocol):
    """The linear bounds of a nonlinear operator, as `relax` returns them.

    `pull` replaces rows A on the output f(x) by rows on the inputs, so that

        ⟨A, f(x)⟩ ≥ Σᵢ ⟨coefficients[i], xᵢ⟩ + bias        for every x in the boxes.

    Most operators return `Lines`. An operator whose lines are too many to be stored one by one
    returns a class of its own.
    """

    def pull(self, rows: Tensor) -> Pulled: ...


@dataclass(frozen=True)
class Lines:
    """A line below and a line above a nonlinear operator on its bounds.

        Σᵢ lower_slopes[i]·xᵢ + lower_intercept ≤ f(x) ≤ Σᵢ upper_slopes[i]·xᵢ + upper_intercept

    lower_slopes     one tensor `[D, R, *input_shape]` per input
    upper_slopes     one tensor `[D, R, *input_shape]` per input
    lower_intercept  `[D, R, *shape]`; None stands for zero
    upper_intercept  `[D, R, *shape]`; None stands for zero
    reduced          the axis of the input that the operator reduces, or None

    R is 1 where all rows share the lines, and S where each row has lines of its own.
    """

    lower_slopes: tuple[Tensor, ...]
    upper_slopes: tuple[Tensor, ...]
    lower_intercept: Tensor | None = None
    upper_intercept: Tensor | None = None
    reduced: int | None = None

    def pull(self, rows: Tensor) -> Pulled:
        """Pull rows `[D, S, *shape]` back through the lines; a lower bound stays a lower bound.

        A coefficient ≥ 0 is multiplied with the line below, a coefficient < 0 with the line above
        (CROWN, arXiv 1811.00866):
            ⟨A, f(x)⟩ ≥ ⟨A⁺·lower_slopes + A⁻·upper_slopes, x⟩
                        + ⟨A⁺, lower_intercept⟩ + ⟨A⁻, upper_intercept⟩
        """
        if self.lower_intercept is None and self.reduced is None and len(self.lower_slopes) == 1:
            below, above = self.lower_slopes[0], self.upper_slopes[0]
            intercept = self.upper_intercept
            if fused_rows.applies(rows, below, above, intercept):
                coefficients, bias = fused_rows.pull(rows, below, above, intercept)
                return Pulled((coefficients,), bias)
        wide = rows if self.reduced is None else rows.unsqueeze(self.reduced + 2)
        bias = signed_inner(rows, self.lower_intercept, self.upper_intercept)
        pairs = zip(self.lower_slopes, self.upper_slopes, strict=True)
        return Pulled(tuple(signed_product(wide, below, above) for below, above in pairs), bias)


def pull_lines(lines: Relaxation, rows: Tensor) -> Pulled:
    """Return `lines.pull(rows)`."""
    return lines.pull(rows)
