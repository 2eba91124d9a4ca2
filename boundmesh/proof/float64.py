"""Repeats bounds in float64 where the rounding of float32 may have prevented a proof.

The lines around a smooth function are moved apart to allow for rounding, which grows with the size
of the values. Where values are large and margins small, float32 alone can prevent a proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from boundmesh.bounds.sweep.layout import DeviceLayout, OneDevice
from boundmesh.bounds.sweep.program import Program
from boundmesh.graph.forward import multiplications
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.proof.ladder import climb
from boundmesh.proof.question import Question
from boundmesh.proof.rung import Attempt
from boundmesh.proof.standing import Standing
from boundmesh.runtime.clock import Clock
from boundmesh.settings import BoundSettings

STAGE = "float64"
# A network whose forward pass takes more multiplications than this is not bounded twice. In a small
# vision transformer, of 0.4 to 1.2 million, the rounding of float32 can cost more than the margin.
SMALL = 2**22
SHARE = 0.1
"""float32 hides a proof where it loses more than this share of what a margin lacks."""


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
    in_float64: Sequence[Question],
    settings: BoundSettings,
    clock: Clock,
    methods: Sequence[str] | None = None,
    only: Standing | None = None,
    attempt: Attempt | None = None,
) -> None:
    """Bound the open clauses once more in float64, and enter in `standings` those refuted.

    `in_float64` are the questions of `standings` in float64. The methods are `methods`, or else
    those of the settings. After those of the settings, a standing goes on in float64, with
    float64's bounds, if rounding hides its proof. If `only` is given, the clauses of the other
    standings are left. `attempt` is made as in `climb`.

    Where arithmetic is trusted a margin must outweigh the rounding of float32 as before, since the
    network itself may run in float32.
    """
    for standing, question in zip(standings, in_float64, strict=True):
        if not standing.open.any() or not (only is None or standing is only):
            continue
        question = replace(question, slack=standing.question.slack)
        # Both share the tables of margins, so that what the one proves the other has proved.
        again = replace(standing, question=question, bounds={})
        known = standing.clauses
        climb(again, settings, clock, STAGE, methods, attempt)
        if methods is not None:
            continue
        if again.bounds and hides(known, standing.clauses):
            standing.question = question
            standing.bounds, standing.domains = again.bounds, again.domains
        else:
            standing.finer = again


def hides(coarse: Tensor, fine: Tensor) -> bool:
    """Return True if margins found in float32 lack much of what float64 wins for an open clause.

    `coarse` and `fine` are the margins before and after the same bounds in float64. A search that
    goes on in float32 loses as much in every domain, and so may never close one.
    """
    still = ~(fine > 0)
    return bool((still & ~(-fine >= (1 - SHARE) * -coarse)).any())
