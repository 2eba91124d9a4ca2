"""Replays points in ONNX Runtime: only a replayed point that breaks the property gives `sat`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from boundmesh.attack.float32 import holds_in_float32
from boundmesh.graph.graph import Graph, Port
from boundmesh.graph.whole import is_whole, whole_places
from boundmesh.property import Ball, Box, Clause, Property
from boundmesh.read.runtime import Runtime, Runtimes, runtime_of
from boundmesh.verdict import Counterexample

Confirms = Callable[[Clause, np.ndarray], bool]
"""Returns True if a clause surely holds at a point in another arithmetic than ONNX Runtime's."""

NARROW = ("float32", "float16")


class Replay:
    """Replays points on `graph.source`. The session is made when the first point needs it.

    With `confirms` a clause must hold in that arithmetic as well. The first point raises ReadError
    where the graph has no source or the source cannot run.

    `unconfirmed` is the first point at which a clause holds as ONNX Runtime rounds, but not surely
    in that other arithmetic; None until there is one.
    """

    def __init__(self, graph: Graph, confirms: Confirms | None = None) -> None:
        self._graph, self._confirms = graph, confirms
        self._whole = whole_places(graph.inputs)
        self._runtime: Runtime | Runtimes | None = None
        self.unconfirmed: Counterexample | None = None

    def __call__(self, property: Property, case: int, x: np.ndarray) -> Counterexample | None:
        """Return the counterexample at the flat float64 point x of a case, or None if it is none.

        x must lie in the case's region, without tolerance, and be whole where the network's input
        is. A coordinate whose range holds no
        float64 stands for the number in the middle of that range. The network gets x rounded to
        its input type. Some clause must then hold for x and the output, exactly as written. One
        that also holds in float32 arithmetic is preferred.
        """
        x = np.asarray(x, dtype=np.float64).reshape(-1)
        region, clauses = property.cases[case].region, property.cases[case].clauses
        if x.size != region.size:
            return None
        point, exact = region.point(x), region.between
        if not np.array_equal(x[self._whole], np.rint(x[self._whole])):
            return None
        if not region.contains(point) or rounds_otherwise(x, exact, self._graph.inputs):
            return None
        if self._runtime is None:
            self._runtime = runtime_of(self._graph)
        y = self._runtime(x).astype(np.float64)
        if np.isnan(y).any():
            return None
        found, values = None, property.outputs_at(point, y)
        for place, clause in enumerate(clauses):
            if clause.holds(point, values):
                single = holds_in_float32(clause, point, values)
                if found is not None and not single:
                    continue
                seen = Counterexample(x, y, case, place, exact, single)
                if not self._confirmed(clause, point):
                    self.unconfirmed = self.unconfirmed or seen
                    continue
                found = seen
                if single:
                    break
        return found

    def _confirmed(self, clause: Clause, point: np.ndarray) -> bool:
        return self._confirms is None or self._confirms(clause, point)


def representable(region: Box | Ball, x: np.ndarray, ports: Sequence[Port]) -> np.ndarray:
    """Move each coordinate of x to the nearest value in the region that its input's type holds.

    Where an interval contains no value of its type (`lo == hi` with a long decimal), the result is
    the nearest float64 in the interval. Where it contains no float64, the result is the float64
    nearest to its middle. In a ball, coordinates are rounded towards the centre.
    """
    x = np.asarray(x, dtype=np.float64).reshape(-1)
    if isinstance(region, Ball):
        center = region.center.reshape(-1)
        if region.clip is not None:
            x = np.clip(x, *region.clip)
        x = _pulled_in(region, center, x)
        lower, upper = np.minimum(x, center), np.maximum(x, center)
    else:
        lower, upper = region.inner
    inside = np.clip(x, lower, upper)
    start = 0
    for port in ports:
        part = slice(start, start + port.size)
        start += port.size
        if port.dtype in NARROW:
            inside[part] = _rounded(inside[part], lower[part], upper[part], np.dtype(port.dtype))
        if is_whole(port.dtype):
            near = np.clip(np.rint(inside[part]), np.ceil(lower[part]), np.floor(upper[part]))
            inside[part] = near
    return inside


def rounds_otherwise(x: np.ndarray, exact: Mapping[int, Fraction], ports: Sequence[Port]) -> bool:
    """Return True if an exact coordinate may round to another value than its nearest float64 does.

    This is so where that float64, the coordinate of x, lies halfway between two values of the
    input's type.
    """
    start = 0
    for port in ports:
        part = range(start, start + port.size)
        start += port.size
        for place in exact.keys() & part if port.dtype in NARROW else ():
            value, dtype = float(x[place]), np.dtype(port.dtype).type
            with np.errstate(over="ignore"):
                near = dtype(value)
                other = np.nextafter(near, dtype(math.copysign(math.inf, value - float(near))))
            # Compared in float64: NumPy would round the value to the narrow type first.
            near, other = float(near), float(other)
            if value != near and abs(value - near) == abs(other - value):
                return True
    return False


def _pulled_in(ball: Ball, center: np.ndarray, x: np.ndarray) -> np.ndarray:
    away = x - center
    norm = np.linalg.norm(away, ord=ball.p)
    # The most that rounding the coordinates can add to the norm.
    radius = float(ball.radius)
    rounding = 4 * np.finfo(np.float64).eps * (radius + np.abs(center).sum())
    inside = max(radius - rounding, 0.0)
    return x if norm <= inside else center + away * (inside / norm)


def _rounded(x: np.ndarray, lower: np.ndarray, upper: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        near = x.astype(dtype)
    # Compared in float64: NumPy would round the bounds to the narrow type first.
    near = np.where(near.astype(np.float64) > upper, np.nextafter(near, dtype.type(-np.inf)), near)
    near = np.where(near.astype(np.float64) < lower, np.nextafter(near, dtype.type(np.inf)), near)
    wide = near.astype(np.float64)
    return np.where((lower <= wide) & (wide <= upper), wide, x)
