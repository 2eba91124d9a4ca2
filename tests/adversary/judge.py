"""Was a verdict right? Points near the least output decide, in each arithmetic that it promised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import onnxruntime

from tests.adversary import exact, reordered, statement
from tests.adversary.generate import Instance
from tests.adversary.network import Network
from tests.adversary.walk import Point, Region

# Random orders of the sums that each network is run in.
ORDERS = 12
# Units in the last place to either side of a point, in float32.
STEPS = (0, 1, -1, 2, -2, 5, -5, 60, -60)
RANDOM = 24


@dataclass(frozen=True)
class Fault:
    """A verdict that a point refutes in the arithmetic `semantics`."""

    verdict: str
    semantics: str
    point: tuple[float, ...]
    detail: str


class Runtime:
    """ONNX Runtime in the network's own type."""

    def __init__(self, net: Network) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(net.bytes, options, providers=providers)
        self.net = net

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Flat outputs `[K, outputs]` at points `[K, inputs]`, which are rounded to that type."""
        kind = np.float64 if self.net.double else np.float32
        rows = [each.astype(kind).reshape(self.net.shape) for each in points]
        found = [self.session.run(None, {self.net.input: row})[0] for row in rows]
        return np.array([each.reshape(-1) for each in found])


def fractions(row: np.ndarray) -> list[Fraction] | None:
    """The exact values of floats; None where one is NaN or infinite, which satisfies nothing."""
    if not np.isfinite(np.asarray(row, dtype=np.float64)).all():
        return None
    return [each if isinstance(each, Fraction) else Fraction(float(each)) for each in row]


def likely(instance: Instance) -> list[Point]:
    """Exact points at which a violation is likely, each in a region of the property."""
    rng = np.random.default_rng(instance.seed)
    found: list[Point] = [point for _, point in instance.points]
    for region in instance.regions:
        found += list(corners(region))
        found += list(random_points(region, rng))
    return found


def corners(region: Region) -> Iterator[Point]:
    for number in range(2 ** len(region.lower)):
        ends = zip(region.lower, region.upper, strict=True)
        yield tuple(pair[number >> place & 1] for place, pair in enumerate(ends))


def random_points(region: Region, rng: np.random.Generator) -> Iterator[Point]:
    for _ in range(RANDOM // 2):
        share = [Fraction(float(each)) for each in rng.random(len(region.lower))]
        ends = zip(region.lower, region.upper, share, strict=True)
        yield tuple(low + s * (high - low) for low, high, s in ends)


def float32_points(instance: Instance) -> np.ndarray:
    """Float32 points of the regions: those nearest to the likely ones and their neighbours."""
    rng = np.random.default_rng(instance.seed)
    near = [np.array([float(x) for x in point]) for point in likely(instance)]
    found = []
    for number, point in enumerate(near):
        for step in STEPS if number < len(instance.points) else (0,):
            found.append(stepped(point, np.full(len(point), step)))
        if number < len(instance.points):
            found += [stepped(point, rng.integers(-3, 4, len(point))) for _ in range(6)]
    kept = {
        tuple(float(x) for x in inside)
        for point in found
        for region in instance.regions
        if (inside := within(region, point)) is not None
    }
    return np.array(sorted(kept), dtype=np.float32).reshape(-1, len(near[0]))


def stepped(point: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The float32 point that many units in the last place away."""
    start = point.astype(np.float32)
    return (start.astype(np.float64) + steps * np.spacing(start).astype(np.float64)).astype(
        np.float32
    )


def within(region: Region, point: np.ndarray) -> np.ndarray | None:
    """The point, moved by one unit into the region where it lies just outside; None if that does
    not help."""
    moved = point.copy()
    for place, (low, high) in enumerate(zip(region.lower, region.upper, strict=True)):
        if Fraction(float(moved[place])) < low:
            moved[place] = np.nextafter(np.float32(float(low)), np.float32(np.inf))
        elif Fraction(float(moved[place])) > high:
            moved[place] = np.nextafter(np.float32(float(high)), np.float32(-np.inf))
    inside = region.contains(tuple(Fraction(float(x)) for x in moved))
    return moved if inside else None


def judge_unsat(instance: Instance, semantics: tuple[str, ...]) -> Fault | None:
    """A point that satisfies the property's assertions although no point should."""
    assertions = statement.parse(instance.text)
    narrow = float32_points(instance)
    if "real" in semantics:
        points = likely(instance) + [tuple(fractions(row) or ()) for row in narrow]
        y, doubt = exact.outputs(instance.net, np.array(points, dtype=object))
        for point, row in zip(points, y, strict=True):
            if statement.satisfied(assertions, list(point), list(row), doubt):
                return fault("unsat", "real", point, list(row))
    if "float32" in semantics and len(narrow):
        for name, outputs in float32_outputs(instance, narrow):
            for point, row in zip(narrow, outputs, strict=True):
                x, values = fractions(point), fractions(row)
                if x and values and statement.satisfied(assertions, x, values):
                    return fault("unsat", f"float32 ({name})", tuple(x), values)
    return None


def float32_outputs(instance: Instance, points: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "ONNX Runtime", Runtime(instance.net)(points)
    for order in range(ORDERS):
        yield f"order {order}", reordered.outputs(instance.net, points, order)


def judge_sat(instance: Instance, x: np.ndarray, semantics: tuple[str, ...]) -> Fault | None:
    """A counterexample that is none: by ONNX Runtime, or exactly where only `real` is promised."""
    assertions = statement.parse(instance.text)
    point = fractions(x)
    if point is None:
        return fault("sat", "any", (), "the counterexample is not finite")
    if not any(region.contains(tuple(point)) for region in instance.regions):
        return fault("sat", "region", tuple(point), "the counterexample lies outside of the box")
    if "float32" in semantics:
        y = fractions(Runtime(instance.net)(np.asarray(x, dtype=np.float64)[None])[0])
        if not y or not statement.satisfied(assertions, point, y):
            return fault("sat", "float32", tuple(point), y)
        return None
    exactly, unsure = exact.outputs(instance.net, np.array([point], dtype=object))
    if statement.satisfied(assertions, point, list(exactly[0]), -unsure):
        return None
    return fault("sat", "real", tuple(point), list(exactly[0]))


def fault(verdict: str, semantics: str, point: Point, y: object) -> Fault:
    shown = [float(each) for each in y] if isinstance(y, list) else y
    return Fault(verdict, semantics, tuple(float(x) for x in point), f"outputs {shown}")
