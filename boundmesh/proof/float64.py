"""Repeats bounds in float64 where the rounding of float32 may have prevented a proof.

The lines around a smooth function are moved apart to allow for rounding, which grows with the size
of the values. Where values are large and margins small, float32 alone can prevent a proof.
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
from boundmesh.proof.ladder import climb
from boundmesh.proof.question import questions
from boundmesh.proof.standing import Standing
from boundmesh.property import Property
from boundmesh.runtime.clock import Clock
from boundmesh.settings import Settings

STAGE = "float64"
# A network whose forward pass takes more multiplications than this is not bounded twice. In a small
# vision transformer, of 0.4 to 1.2 million, the rounding of float32 can cost more than the margin.
SMALL = 2**22


def helps(graph: Graph, layout: DeviceLayout) -> bool:
    """Return True if float64 may help at little cost.

    This is so for a small network on one device, bounded in float32 so far, whose lines are moved
    apart to allow for rounding.
    """
    program = Program(graph.bounded, graph.bounded.output)
    smooth = any(RULES[node.op].split_point is None for node in program.nonlinear)
    alone = isinstance(layout, OneDevice) and layout.dtype == torch.float32
    return alone and smooth and multiplications(graph) <= SMALL


def climb_again(
    standings: Sequence[Standing],
    graph: Graph,
    property: Property,
    settings: Settings,
    clock: Clock,
    methods: Sequence[str] | None = None,
    only: Standing | None = None,
) -> None:
    """Bound the open clauses once more in float64, and enter in `standings` those refuted.

    The methods are `methods`, or else those of the settings. If `only` is given, the clauses of the
    other standings are left.

    Where arithmetic is trusted a margin must outweigh the rounding of float32 as before, since the
    network itself may run in float32.
    """
    layout = OneDevice(graph.bounded, standings[0].question.layout.device, torch.float64)
    in_float64 = questions(graph, property, layout, rounding_for(graph, settings, layout, property))
    for standing, question in zip(standings, in_float64, strict=True):
        if standing.open.any() and (only is None or standing is only):
            question = replace(question, slack=standing.question.slack)
            # Both have the same table of margins.
            again = Standing(question, standing.rows, reached=standing.reached)
            climb(again, settings.bounds, clock, STAGE, methods)
