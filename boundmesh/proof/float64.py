"""In float64, what float32's rounding may have left open.

Lines of smooth functions are drawn far enough apart for rounding, which is relative to the values
they pass: where values are large and margins small, float32 alone can stand in a proof's way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from boundmesh.bounds.sweep.layout import DeviceLayout, OneDevice
from boundmesh.bounds.sweep.program import Program
from boundmesh.graph.forward import multiplications
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.proof.guarantee import rounding_for
from boundmesh.proof.ladder import Standing, climb
from boundmesh.proof.questions import questions
from boundmesh.property import Property
from boundmesh.runtime.clock import Clock
from boundmesh.settings import Settings

STAGE = "float64"
# Networks whose forward pass takes more multiplications are not bounded twice.
SMALL = 2**20


def helps(graph: Graph, layout: DeviceLayout) -> bool:
    """Whether float64 may help, at little cost: on one device, in float32 so far, a small network
    with lines that rounding moves apart."""
    program = Program(graph, graph.output)
    smooth = any(RULES[node.op].split_point is None for node in program.nonlinear)
    alone = isinstance(layout, OneDevice) and layout.dtype == torch.float32
    return alone and smooth and multiplications(graph) <= SMALL


def climb_again(
    standings: Sequence[Standing],
    graph: Graph,
    property: Property,
    settings: Settings,
    clock: Clock,
) -> None:
    """Climb once more in float64 with what is open, and enter there what was refuted.

    Where arithmetic is trusted a margin must outweigh float32's rounding as before: the network
    itself may be computed in it.
    """
    layout = OneDevice(graph, standings[0].question.layout.device, torch.float64)
    finer = questions(graph, property, layout, rounding_for(graph, settings, layout, property))
    for standing, question in zip(standings, finer, strict=True):
        if standing.open.any():
            question = replace(question, slack=standing.question.slack)
            # Both have the same table of margins.
            climb(Standing(question, standing.rows), settings.bounds, clock, STAGE)
