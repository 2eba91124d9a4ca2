"""Bounds of a module's outputs as tensors with gradients, for certified training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.errors import BoundmeshError
from boundmesh.operators.interval import Interval
from boundmesh.ranges import OneOf, shown
from boundmesh.rational import without_numbers
from boundmesh.regions import Box
from boundmesh.training.network import network_of
from boundmesh.training.propagation import Propagation

METHODS = ("ibp", "crown-ibp", "crown")


@dataclass(frozen=True)
class DifferentiableBounds:
    """Bounds of N inputs' outputs or rows, with gradients. They do not count rounding.

    lower         `[N, *output_shape]`, or `[N, S]` where rows were given
    upper         the same shape; ∞ where only lower bounds were computed
    intermediate  the bounds of every start node, by name, `[N, …]`
    """

    lower: Tensor
    upper: Tensor
    intermediate: Mapping[str, Interval]

    def __repr__(self) -> str:
        return f"DifferentiableBounds({list(self.lower.shape)}, {self.lower.dtype})"


def differentiable_bounds(
    module: object,
    region: Any,
    *,
    method: str = "crown-ibp",
    rows: Any = None,
    sides: str = "both",
) -> DifferentiableBounds:
    """Bound the outputs of a module on N boxes, with gradients to its parameters and to the boxes.

    region  a pair (lower, upper) of tensors `[N, *input_shape]`; gradients reach them, too. A Box
            of such arrays or a sequence of boxes `[1, *input_shape]` has no gradients
    method  ibp, crown-ibp or crown
    rows    `[S, outputs]`, or `[N, S, outputs]` with rows of each input's own
    sides   "both", or "lower" where upper bounds are not needed, which saves half of the time

    Bounds are computed in plain floating-point arithmetic, and no rounding is counted. So they are
    for training, and prove nothing. `boundmesh.bounds` without `differentiable`, `certify` and
    `verify` do. The module is exported at the first call and remembered while it lives. Raises
    BoundmeshError for bad input, for a layer in training mode, and for a module whose weights are
    computed from parameters in a way that the export does not show.
    """
    OneOf(METHODS).read("method", method)
    OneOf(("both", "lower")).read("sides", sides)
    if not isinstance(module, nn.Module):
        raise BoundmeshError(
            f"the model is {shown(module)}; bounds with gradients need a torch.nn.Module"
        )
    lower, upper = boxes_of(region, module)
    propagation, domains = _propagated(module, lower, upper, by_rows=method == "crown")
    graph = propagation.program.graph
    output = graph[graph.output]
    asked = _rows(rows, len(lower), output.size, lower)
    if method == "ibp":
        below, above = _of_interval(propagation.intervals[output.name], asked, domains)
    else:
        identity = torch.eye(output.size, dtype=lower.dtype, device=lower.device)[None]
        wanted = identity if asked is None else asked
        below, above = _of_lines(propagation, wanted, domains, both=sides == "both")
    if rows is None:
        whole = output.shape[1:] if output.shape[:1] == (1,) else output.shape
        below, above = below.reshape(-1, *whole), above.reshape(-1, *whole)
    return DifferentiableBounds(below, above, propagation.bounds)


def _propagated(
    module: nn.Module, lower: Tensor, upper: Tensor, *, by_rows: bool
) -> tuple[Propagation, int]:
    """Bound all values of a module on boxes `[N, *input_shape]`; return them, and N."""
    network, weights = network_of(module, ((lower[:1] + upper[:1]) / 2).detach())
    graph = network.program.graph
    if torch.is_grad_enabled():
        # Rules use kernels without gradients where their operands need none.
        lower, upper = (
            end if end.requires_grad else end.detach().requires_grad_() for end in (lower, upper)
        )
    shape = graph[graph.input].shape
    box = BoxRegion(lower.reshape(-1, *shape), upper.reshape(-1, *shape))
    propagation = Propagation(network.program, weights, box)
    propagation.propagate(by_rows=by_rows)
    return propagation, box.domains


def _of_lines(
    propagation: Propagation, rows: Tensor, domains: int, *, both: bool
) -> tuple[Tensor, Tensor]:
    """Bound rows `[N or 1, S, outputs]` of the output by CROWN; return bounds `[N, S]`.

    Without `both` the upper bounds are ∞.
    """
    program = propagation.program
    output = program.graph[program.graph.output]
    known = _of_interval(propagation.intervals[output.name], rows, domains)
    matrix = torch.cat([rows, -rows], dim=1) if both else rows
    matrix = matrix.reshape(*matrix.shape[:2], *output.shape)
    if torch.is_grad_enabled() and not matrix.requires_grad:
        matrix = matrix.detach().requires_grad_()
    lowest = propagation.lowest(output.name, matrix)
    below, above = lowest, torch.full_like(lowest, torch.inf)
    if both:
        below, opposite = lowest.chunk(2, dim=1)
        above = -opposite
    if program.has_curves:
        # Lines around curves can be looser than intervals.
        below = torch.maximum(below, known[0])
        above = torch.minimum(above, known[1]) if both else above
    return below, above


def boxes_of(region: Any, module: nn.Module) -> tuple[Tensor, Tensor]:
    """Return lower and upper ends `[N, *input_shape]` in the dtype and on the device of a module.

    Raises BoundmeshError where the region is no batch of boxes, or is empty or not finite.
    """
    like = next(module.parameters(), torch.empty(0))
    expected = "expected a pair (lower, upper) of tensors [N, *input_shape], or boxes"
    if isinstance(region, Box):
        region = region.lower, region.upper
    elif isinstance(region, Sequence) and region and all(isinstance(b, Box) for b in region):
        if len({box.shape for box in region}) > 1:
            raise BoundmeshError(f"the boxes have different shapes; {expected}")
        region = tuple(
            np.concatenate([end[None] if end.ndim == 0 else end for end in side])
            for side in ([box.lower for box in region], [box.upper for box in region])
        )
    if not isinstance(region, tuple | list) or len(region) != 2:
        raise BoundmeshError(f"the region is {shown(region)}; {expected}")
    try:
        lower, upper = (plain(end).to(like.device, like.dtype) for end in region)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BoundmeshError(
            f"the region is no pair of arrays of numbers ({error}); {expected}"
        ) from None
    if lower.shape != upper.shape or lower.dim() < 1 or not len(lower):
        shapes = f"{list(lower.shape)} and {list(upper.shape)}"
        raise BoundmeshError(f"the ends of the boxes have the shapes {shapes}; {expected}")
    # Written so that NaN is refused.
    if not bool((lower <= upper).all()) or not bool(torch.isfinite(upper - lower).all()):
        raise BoundmeshError(
            "a box is empty, infinite or holds NaN; each lower end must not exceed its upper end"
        )
    return lower, upper


def plain(values: Any) -> Tensor:
    """Return numbers as a tensor; raise TypeError for tensors and arrays of another kind."""
    if kind := without_numbers(values) or without_numbers(found := torch.as_tensor(values)):
        raise TypeError(f"it is {kind}")
    return found


def _rows(rows: Any, count: int, outputs: int, like: Tensor) -> Tensor | None:
    """Return rows as `[N or 1, S, outputs]`; None where there are none."""
    if rows is None:
        return None
    expected = f"expected [S, {outputs}], or [{count}, S, {outputs}]: rows of each input's own"
    try:
        matrix = plain(rows).to(like.device, like.dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BoundmeshError(f"rows are no array of numbers ({error}); {expected}") from None
    matrix = matrix[None] if matrix.dim() == 2 else matrix
    if matrix.dim() != 3 or matrix.shape[2] != outputs or len(matrix) not in (1, count):
        raise BoundmeshError(f"rows have the shape {list(matrix.shape)}; {expected}")
    if not bool(torch.isfinite(matrix).all()):
        raise BoundmeshError(f"rows hold NaN or infinity; {expected}")
    return matrix


def _of_interval(box: Interval, rows: Tensor | None, domains: int) -> tuple[Tensor, Tensor]:
    """Bound the output, or rows of it, by its interval `box`; return bounds `[N, S]`."""
    lower, upper = (end.flatten(1).expand(domains, -1) for end in (box.lower, box.upper))
    if rows is None:
        return lower, upper
    region = BoxRegion(lower, upper)
    below, above = region.minimum(rows), region.minimum(-rows)
    return below, -above
