"""Bounds of the Jacobian of a network on a region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from boundmesh.errors import BoundmeshError
from boundmesh.graph.graph import Graph
from boundmesh.graph.passes.spell_out import spell_out
from boundmesh.jacobian.backward_graph import Slopes, backward_graph, slopes_of
from boundmesh.models import load, point_of, region_of
from boundmesh.named_options import with_options
from boundmesh.proof.output_bounds import bounds
from boundmesh.property import Ball, Box
from boundmesh.ranges import OneOf
from boundmesh.settings import Settings

if TYPE_CHECKING:
    from boundmesh.models import Model

METHODS = ("ibp", "crown-ibp", "crown", "alpha-crown")


@dataclass(frozen=True)
class JacobianBounds:
    """Bounds of a Jacobian: `lower ≤ J(x) ≤ upper` for every x of the region at which f has one.

    More is true: for any x and y of the region, `f(x) − f(y) = M (x − y)` for a matrix M within the
    bounds, also where f has no derivative.

    lower  `[outputs, inputs]`, float64
    upper  the same shape
    """

    lower: np.ndarray
    upper: np.ndarray

    def __repr__(self) -> str:
        widest = (self.upper - self.lower).max(initial=0.0)
        outputs, inputs = self.lower.shape
        return f"JacobianBounds({outputs} outputs × {inputs} inputs, the widest range {widest:.6g})"

    @property
    def largest(self) -> np.ndarray:
        """The largest absolute value of each entry, `[outputs, inputs]`."""
        found: np.ndarray = np.maximum(np.abs(self.lower), np.abs(self.upper))
        return found


@dataclass(frozen=True)
class Backward:
    """What is known of a network's slopes on a region, and how the backward pass is bounded."""

    graph: Graph
    slopes: Slopes
    method: str
    settings: Settings

    @property
    def outputs(self) -> int:
        return self.graph[self.graph.output].size

    def rows(self, *, absolute: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Bound `eᵢᵀJ`, or with `absolute` its sum of absolute values, for every output i."""
        backward = backward_graph(self.graph, self.slopes, absolute=absolute)
        boxes = [
            Box(np.append(unit, self.slopes.lower), np.append(unit, self.slopes.upper))
            for unit in np.eye(self.outputs)
        ]
        found = bounds(backward, boxes, method=self.method, settings=self.settings)
        ends = np.stack([e.lower for e in found]), np.stack([e.upper for e in found])
        if not all(np.isfinite(end).all() for end in ends):
            raise BoundmeshError("the Jacobian has no finite bounds on the region; make it smaller")
        return ends


def backward_of(model: Model, region: Any, method: str, options: dict[str, Any]) -> Backward:
    """Bound the network itself by CROWN, and from that the slopes of its nonlinear operators."""
    OneOf(METHODS).read("method", method)
    options = {"dtype": "float64", **options}
    settings = with_options(Settings(), **options)
    if settings.rounding == "trust" or settings.dtype != "float64":
        raise BoundmeshError("bounds of a Jacobian are computed in float64 and count all rounding")
    graph = spell_out(load(model, point_of(region)))
    region = region_of(region, graph[graph.input].size)
    if isinstance(region, Box) and region.empty:
        raise BoundmeshError("the region is empty; a Jacobian needs a point")
    forward = "crown-ibp" if method == "ibp" else method
    (known,) = bounds(graph, [region], method=forward, settings=settings)
    return Backward(graph, slopes_of(graph, known.intermediate), method, settings)


def jacobian(
    model: Model, region: Box | Ball, *, method: str = "crown", **options: Any
) -> JacobianBounds:
    """Bound every entry of the Jacobian `∂f/∂x` `[outputs, inputs]` on a region.

    First the network is bounded, and with it the slope of every activation: {0, 1} for Relu, the
    range of the derivative for smooth ones. Then the backward pass, a network of these slopes, is
    bounded by `method`, which is ibp, crown-ibp, crown or alpha-crown (arXiv 2210.07394). Bounds
    hold in real arithmetic; all rounding is counted. `options` are those of `verify`.

    Raises UnsupportedError for a network with an operator that has no Jacobian here, such as a
    jump or a softmax, and BoundmeshError for bad input.
    """
    return JacobianBounds(*backward_of(model, region, method, options).rows())
