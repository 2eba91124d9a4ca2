"""The arithmetic that a verdict must hold in, and the roundings that bounds must outweigh."""

from __future__ import annotations

import torch

from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.errors import UnsupportedError
from boundmesh.graph.graph import Graph
from boundmesh.kernels import launcher, matmul
from boundmesh.operators.rounding import UNITS, Rounding
from boundmesh.property import Property
from boundmesh.read.common_factor import keep_common_factors
from boundmesh.read.directions import limit_directions
from boundmesh.read.quadratic import with_squares
from boundmesh.settings import Settings, rounding_words


def arithmetic(graph: Graph, settings: Settings, property: Property | None = None) -> str:
    """Return the coarsest arithmetic that verdicts hold in: `trust`, `real`, or a key of UNITS.

    Raises the errors of `arithmetics`.
    """
    return coarsest(arithmetics(graph, settings, property))


def coarsest(words: frozenset[str]) -> str:
    """Return the arithmetic of the largest unit roundoff; `real` where there is none."""
    return max(words, key=lambda word: UNITS.get(word, 0.0), default="real")


def arithmetics(
    graph: Graph, settings: Settings, property: Property | None = None
) -> frozenset[str]:
    """Return the arithmetics that verdicts hold in: `trust` alone, or `real` and keys of UNITS.

    Real arithmetic is floating-point arithmetic whose roundings happen to be zero. So a bound that
    outweighs every rounding of a float32 run holds for real numbers, too, and the largest unit
    roundoff of several arithmetics stands for all of them. `auto` takes the property's element
    types, or real arithmetic where there are none.

    Raises UnsupportedError where a floating-point arithmetic was chosen, or declared, for a
    network with an operator whose rounding is not known.
    """
    words = _named(settings, property)
    if (precision := coarsest(words)) in UNITS and graph.unbounded:
        raise UnsupportedError(
            f"how {', '.join(sorted(graph.unbounded))} rounds in {precision} is not known, so no "
            "verdict can hold in that arithmetic; --rounding real gives one for real numbers"
        )
    return words


def _named(settings: Settings, property: Property | None) -> frozenset[str]:
    """Return the arithmetics that the user names, or else the property."""
    words = frozenset(rounding_words(settings.rounding))
    if words == {"auto"}:
        return frozenset() if property is None else property.arithmetics
    return words


def for_bounds(graph: Graph, settings: Settings, property: Property | None = None) -> Graph:
    """Return the graph that bounds are computed on.

    It is rewritten where that makes bounds tighter and verdicts hold in real arithmetic alone. A
    floating-point arithmetic needs the operations that the network runs. Twin networks have a graph
    for bounds of their own.
    """
    if graph.extended is not None:
        return graph
    in_real = coarsest(_named(settings, property)) not in UNITS
    return with_squares(limit_directions(keep_common_factors(graph))) if in_real else graph


def holds_in_real(graph: Graph, settings: Settings, property: Property) -> bool:
    """Return True if a proof in exact arithmetic suffices for the verdict.

    Raises the errors of `arithmetics`.
    """
    return arithmetics(graph, settings, property) <= {"real"}


def needs_real(settings: Settings, property: Property) -> bool:
    """Return True if a counterexample must hold in real arithmetic, too.

    This is so where neither the user nor the property's element types name another arithmetic.
    """
    words = frozenset(rounding_words(settings.rounding))
    return (property.arithmetics if words == {"auto"} else words) == {"real"}


def names_real(settings: Settings) -> bool:
    """Return True if the user named real arithmetic."""
    return "real" in rounding_words(settings.rounding)


def rounding_for(
    graph: Graph, settings: Settings, layout: DeviceLayout, property: Property | None = None
) -> Rounding | None:
    """Return the roundings that bounds in `layout` must outweigh; None where arithmetic is trusted.

    Raises the errors of `arithmetic`.
    """
    chosen = arithmetics(graph, settings, property)
    if "trust" in chosen:
        return None
    by_kernels = layout.dtype == torch.float32 and launcher.usable(layout.device)
    blocks = by_kernels and matmul.usable(layout.device)
    return Rounding.of(layout.dtype, *chosen, blocks=blocks, kernels=by_kernels)
