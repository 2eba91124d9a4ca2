"""ONNX Runtime decides what a counterexample is; nothing else makes a `sat`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from boundmesh.graph.graph import Graph, Port
from boundmesh.property import Ball, Box, Property
from boundmesh.read.runtime import Runtime
from boundmesh.verdict import Counterexample

NARROW = ("float32", "float16")


class Replay:
    """Replays points on `graph.source`; the session is made for the first point that needs it.

    Raises ReadError, on that first point, where the graph has no source or it cannot run.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._runtime: Runtime | None = None

    def __call__(self, property: Property, case: int, x: np.ndarray) -> Counterexample | None:
        """The counterexample at the flat float64 point x of a case, or None where it is none.

        x must lie in the case's region, tolerance zero. The network gets x rounded to its input
        type; some clause must then hold of x and of what comes out, exactly as written.
        """
        x = np.asarray(x, dtype=np.float64).reshape(-1)
        region, clauses = property.cases[case].region, property.cases[case].clauses
        if not region.contains(x):
            return None
        if self._runtime is None:
            self._runtime = Runtime(self._graph)
        y = self._runtime(x).astype(np.float64)
        if np.isnan(y).any():
            return None
        for place, clause in enumerate(clauses):
            if clause.holds(x, y):
                return Counterexample(x, y, case, place)
        return None


def representable(region: Box | Ball, x: np.ndarray, ports: Sequence[Port]) -> np.ndarray:
    """The point of the region nearest to x, coordinate by coordinate, that the inputs' types hold.

    Where an interval contains no value of its type (`lo == hi` with a long decimal), the nearest
    float64 in the interval. Of a ball's points only the types are seen to, not the norm.
    """
    x = np.asarray(x, dtype=np.float64).reshape(-1)
    if isinstance(region, Box):
        lower, upper = region.lower.reshape(-1), region.upper.reshape(-1)
    else:
        lower, upper = np.full_like(x, -np.inf), np.full_like(x, np.inf)
    inside = np.clip(x, lower, upper)
    start = 0
    for port in ports:
        part = slice(start, start + port.size)
        start += port.size
        if port.dtype in NARROW:
            inside[part] = _rounded(inside[part], lower[part], upper[part], np.dtype(port.dtype))
    return inside


def _rounded(x: np.ndarray, lower: np.ndarray, upper: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        near = x.astype(dtype)
    # Compared in float64: NumPy would round the bounds to the narrow type first.
    near = np.where(near.astype(np.float64) > upper, np.nextafter(near, dtype.type(-np.inf)), near)
    near = np.where(near.astype(np.float64) < lower, np.nextafter(near, dtype.type(np.inf)), near)
    wide = near.astype(np.float64)
    return np.where((lower <= wide) & (wide <= upper), wide, x)
