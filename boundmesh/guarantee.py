"""Which arithmetic a verdict is to hold in: what the user asked for, as roundings to outweigh."""

from __future__ import annotations

from boundmesh.bounds.layout import Layout
from boundmesh.graph.graph import Graph
from boundmesh.rules import matmul
from boundmesh.rules.rounding import UNITS, Rounding
from boundmesh.settings import Settings, rounding_words


def arithmetic(graph: Graph, settings: Settings) -> str:
    """The coarsest arithmetic that verdicts hold in: `trust`, `real`, or a key of UNITS.

    Real arithmetic is floating-point arithmetic whose roundings happen to be zero. So a bound that
    outweighs every rounding of a float32 run holds for real numbers, too, and the coarsest of
    several arithmetics stands for all of them.
    """
    words = rounding_words(settings.rounding)
    if words == ("auto",):
        words = tuple({port.dtype for port in (*graph.inputs, *graph.outputs)} & set(UNITS))
    if words == ("trust",):
        return "trust"
    return max(words, key=lambda word: UNITS.get(word, 0.0), default="real")


def rounding_for(graph: Graph, settings: Settings, layout: Layout) -> Rounding | None:
    """The roundings that bounds in `layout` must outweigh; None where arithmetic is trusted."""
    chosen = arithmetic(graph, settings)
    if chosen == "trust":
        return None
    return Rounding.of(layout.dtype, chosen, blocks=matmul.usable(layout.device))
