"""Checks whether a point refutes a property in real arithmetic, by enclosing the exact outputs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch

from boundmesh.bounds.sweep.intervals import Intervals
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import region_tensors
from boundmesh.graph.graph import Graph
from boundmesh.operators.rounding import Rounding
from boundmesh.property import Atom, Box, Clause


class RealOutputs:
    """Encloses the outputs of a network at a point, in float64 with every rounding counted."""

    def __init__(self, graph: Graph) -> None:
        self._program = Program(graph, graph.output)
        self._layout = OneDevice(graph, "cpu", torch.float64)
        self._rounding = Rounding.of(torch.float64)

    @torch.no_grad()
    def confirms(self, clause: Clause, point: np.ndarray) -> bool:
        """Return True if a clause surely holds at a flat point in real arithmetic.

        The point has floats or Fractions. The result is False where the enclosure of the outputs
        is too wide to decide.
        """
        low, high = self._outputs(point)
        return clause.meets(lambda atom: _surely_holds(atom, point, low, high))

    def _outputs(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        program, graph = self._program, self._program.graph
        shape = graph[graph.input].shape
        region = region_tensors([Box(point, point)], shape, torch.float64)
        target = [program.target]
        intervals = Intervals(program, self._layout, region, target, self._rounding)
        intervals.advance(program.nodes)
        box = intervals.known[program.target]
        return box.lower.flatten().numpy(), box.upper.flatten().numpy()


def _surely_holds(atom: Atom, point: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
    """Return True if an atom holds for every output between `low` and `high`."""
    total = sum((c * Fraction(point[i]) for i, c in atom.inputs), Fraction(0))
    for index, coefficient in atom.outputs:
        end = float(high[index] if coefficient > 0 else low[index])
        if not np.isfinite(end):
            return False
        total += coefficient * Fraction(end)
    return total < atom.bound or (total == atom.bound and not atom.strict)
