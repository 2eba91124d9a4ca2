"""Which arithmetic a verdict is to hold in: what the user chose, as roundings to outweigh."""

from __future__ import annotations

from boundmesh.bounds.layout import Layout
from boundmesh.errors import UnsupportedError
from boundmesh.graph.graph import Graph
from boundmesh.property import Property
from boundmesh.rules import matmul
from boundmesh.rules.rounding import UNITS, Rounding
from boundmesh.settings import Settings, rounding_words


def arithmetic(graph: Graph, settings: Settings, property: Property | None = None) -> str:
    """The coarsest arithmetic that verdicts hold in: `trust`, `real`, or a key of UNITS.

    Real arithmetic is floating-point arithmetic whose roundings happen to be zero. So a bound that
    outweighs every rounding of a float32 run holds for real numbers, too, and the coarsest of
    several arithmetics stands for all of them. `auto` takes the property's element types; where
    there are none, the types of the network's inputs and outputs, if the rounding of all its
    operators is known, else real arithmetic.

    Raises UnsupportedError where a floating-point arithmetic was chosen, or declared, for a
    network with an operator whose rounding is not known.
    """
    words = frozenset(rounding_words(settings.rounding))
    if words == {"trust"}:
        return "trust"
    chosen = words != {"auto"}
    if not chosen and property is not None and property.arithmetics:
        words, chosen = property.arithmetics, True
    if not chosen:
        types = {port.dtype for port in (*graph.inputs, *graph.outputs)} & set(UNITS)
        words = frozenset() if graph.unbounded else frozenset(types)
    coarsest = max(words, key=lambda word: UNITS.get(word, 0.0), default="real")
    if coarsest in UNITS and graph.unbounded:
        raise UnsupportedError(
            f"how {', '.join(sorted(graph.unbounded))} rounds in {coarsest} is not known, so no "
            "verdict can hold in that arithmetic; --rounding real gives one for real numbers"
        )
    return coarsest


def rounding_for(
    graph: Graph, settings: Settings, layout: Layout, property: Property | None = None
) -> Rounding | None:
    """The roundings that bounds in `layout` must outweigh; None where arithmetic is trusted.

    Raises what `arithmetic` raises.
    """
    chosen = arithmetic(graph, settings, property)
    if chosen == "trust":
        return None
    return Rounding.of(layout.dtype, chosen, blocks=matmul.usable(layout.device))
