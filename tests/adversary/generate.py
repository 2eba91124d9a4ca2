"""Random networks with properties that hold, or fail, by almost nothing; each from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.adversary import draft, exact, reordered, walk
from tests.adversary.draft import as_decimal
from tests.adversary.network import Network
from tests.adversary.walk import Least, Objective, Point, Region

# Random points that the search for the least output begins with.
DENSE = 600
# Outputs beyond this size are of no interest: nothing is left of their digits.
LARGEST = 1e12


@dataclass(frozen=True)
class Instance:
    """A network, a property in words, and where its output is least.

    `points` are the places where a violation is likely: exact ones, in the region `regions[place]`
    of the same place. `least` is the objective's smallest value that was found; with `complete` it
    is the smallest of all, so that `violated` is the truth in real arithmetic.
    """

    seed: int
    kind: str
    net: Network
    text: str
    regions: tuple[Region, ...]
    points: tuple[tuple[int, Point], ...]
    complete: bool = False
    violated: bool = False

    def write(self, folder: Path) -> tuple[Path, Path]:
        """The ONNX file and the VNN-LIB file."""
        model, words = folder / f"{self.seed}.onnx", folder / f"{self.seed}.vnnlib"
        model.write_bytes(self.net.bytes)
        words.write_text(self.text, encoding="utf-8")
        return model, words


def generate(seed: int) -> Instance:
    """Instance number `seed`; seeds whose network has no reasonable numbers try others."""
    for attempt in range(50):
        rng = np.random.default_rng([seed, attempt])
        try:
            found = attempted(rng)
        except (OverflowError, ZeroDivisionError):
            continue
        if found is not None:
            return replace(found, seed=seed)
    raise RuntimeError(f"seed {seed} gives no network")


def attempted(rng: np.random.Generator) -> Instance | None:
    inputs = int(rng.choice([1, 1, 2, 2, 3]))
    smooth, double = rng.random() < 0.3, rng.random() < 0.1
    made, outputs = draft.random_network(rng, inputs, smooth, double)
    net = Network(made.model())
    words = [random_interval(rng) for _ in range(inputs)]
    region = Region(*(tuple(map(Fraction, ends)) for ends in zip(*words, strict=True)))
    coefficients = random_coefficients(rng, outputs)
    factors = ["0"] * inputs
    if rng.random() < 0.12:
        factors = [str(rng.choice(["0", "1", "-0.3", "0.744", "100.1"])) for _ in range(inputs)]
    exactly = (tuple(map(Fraction, each)) for each in (coefficients, factors))
    objective = Objective(net, *exactly)
    starts = promising(rng, objective, region)
    if starts is None:
        return None
    if smooth or not piecewise_linear(objective, region):
        least, points = lowest_of(objective, starts)
    else:
        least, points = descend(rng, objective, region, starts)
    if abs(least.value) > LARGEST:
        return None
    bound, strict = near(rng, objective, least)
    text, regions, first = write_property(
        rng, words, inequality(rng, coefficients, factors, bound, strict), objective, least
    )
    limit = Fraction(bound)
    return Instance(
        0,
        "smooth" if smooth else "piecewise linear",
        net,
        text,
        regions,
        tuple((first, point) for point in points),
        least.complete,
        least.value < limit or (least.value == limit and not strict),
    )


def random_interval(rng: np.random.Generator) -> tuple[str, str]:
    """An input's ends as decimals: about 0, 1 or up to 10^6; a point's width up to a wide one."""
    size = float(rng.choice([0.0, 0.5, 1.0, 10.0, 1e3, 1e6], p=[0.2, 0.2, 0.25, 0.15, 0.1, 0.1]))
    center = size * rng.uniform(-1, 1)
    if rng.random() < 0.05:
        # One number, which no binary number may equal.
        return (as_decimal(center, int(rng.integers(1, 9))),) * 2
    width = float(rng.choice([1e-3, 0.1, 1.0, 1.0, 4.0]))
    if size > 10 and rng.random() < 0.5:
        width *= size * 0.1
    low, high = center - width, center + width
    kind = rng.integers(3)
    if kind == 0:
        low, high = float(np.float32(low)), float(np.float32(high))
        return as_decimal(low), as_decimal(high)
    if kind == 1:
        return as_decimal(low), as_decimal(high)
    ends = as_decimal(low, 4), as_decimal(high, 4)
    return ends if Fraction(ends[0]) <= Fraction(ends[1]) else (as_decimal(low), as_decimal(high))


def random_coefficients(rng: np.random.Generator, outputs: int) -> list[str]:
    """One for an output alone; a difference; decimals of very different sizes."""
    if outputs == 1:
        return [str(rng.choice(["1", "1", "1", "-1", "0.1", "3"]))]
    kind = rng.integers(3)
    if kind == 0:
        chosen = ["0"] * outputs
        chosen[int(rng.integers(outputs))] = str(rng.choice(["1", "-1"]))
        return chosen
    if kind == 1:
        one, two = rng.choice(outputs, 2, replace=False)
        return ["1" if i == one else "-1" if i == two else "0" for i in range(outputs)]
    return [
        str(rng.choice(["1.43", "-2.3", "48.24", "0.001", "-1", "0.1"])) for _ in range(outputs)
    ]


def promising(rng: np.random.Generator, objective: Objective, region: Region) -> list[Point] | None:
    """The corners and random points of a region with the least objective in float64, best first,
    and points ever nearer to the best ones; None where an output is not finite."""
    low, high = as_floats(region.lower), as_floats(region.upper)
    share = rng.random((DENSE, len(low)))
    share[: DENSE // 4] = share[: DENSE // 4].round()
    points = np.clip(low + share * (high - low), low, high)
    for width in (None, 0.1, 0.01, 1e-3, 1e-5):
        if width is not None:
            near = np.repeat(points[:8], 10, axis=0)
            steps = width * rng.uniform(-1, 1, near.shape) * (high - low)
            points = np.concatenate([points[:24], np.clip(near + steps, low, high)])
        values = reordered.approximate(objective.net, points) @ as_floats(objective.coefficients)
        values = values + points @ as_floats(objective.inputs)
        if not np.isfinite(values).all():
            return None
        points = points[np.argsort(values, kind="stable")]
    chosen = [tuple(map(Fraction, point)) for point in points[:24].tolist()]
    return [region.clamped(point) for point in chosen]


def as_floats(numbers: Sequence[Fraction]) -> np.ndarray:
    return np.array([float(each) for each in numbers])


def piecewise_linear(objective: Objective, region: Region) -> bool:
    try:
        objective.along(region.lower, (Fraction(0),) * len(region.lower))
    except ValueError:
        return False
    return True


def lowest_of(objective: Objective, points: list[Point]) -> tuple[Least, list[Point]]:
    """The least value at some points."""
    y, _ = exact.outputs(objective.net, np.array(points, dtype=object))
    values = [objective.of(x, row) for x, row in zip(points, y, strict=True)]
    order = sorted(range(len(values)), key=values.__getitem__)
    return Least(values[order[0]], points[order[0]], False), [points[place] for place in order[:8]]


def descend(
    rng: np.random.Generator, objective: Objective, region: Region, starts: list[Point]
) -> tuple[Least, list[Point]]:
    """The least value by walks: all of the region where there is one input."""
    if len(region.lower) == 1:
        least = walk.least_on_line(objective, region.lower, region.upper)
        return least, [least.point, *starts[:4]]
    found = [walk.least_nearby(objective, region, start, rng, 9) for start in starts[:2]]
    least = min(found, key=lambda each: each.value)
    return least, [least.point, *(each.point for each in found), *starts[:4]]


def near(rng: np.random.Generator, objective: Objective, least: Least) -> tuple[str, bool]:
    """A decimal above or below the least value: by 10^−6 … 10^−3, relative or absolute; by few
    units in the last place; by as much as rounding loses there; or equal to it, then it may be that
    the inequality is strict."""
    side = int(rng.choice([-1, 1]))
    kind, value = (
        rng.choice(["relative", "absolute", "units", "loss", "equal"], p=SHARES),
        least.value,
    )
    _, doubt = exact.outputs(objective.net, np.array([least.point], dtype=object))
    gap = Fraction(float(10 ** rng.uniform(-6, -3)))
    if kind == "relative":
        gap *= max(abs(value), Fraction(1, 1000))
    elif kind == "units":
        gap = Fraction(float(np.spacing(np.float32(float(abs(value)))))) * int(rng.integers(1, 9))
    elif kind == "loss":
        gap = lost(objective, least.point) * Fraction(float(10 ** rng.uniform(-1.5, 0.7)))
    elif kind == "equal" and binary(value) and not doubt:
        return as_decimal(value), bool(rng.random() < 0.5)
    gap += 10**6 * doubt * (1 + abs(value))
    if rng.random() < 0.3:
        return as_decimal(float(value + side * gap)), False
    return as_decimal(value + side * gap, 12 if gap * 10**10 > abs(value) else 45), False


def binary(number: Fraction) -> bool:
    """Whether its denominator is a power of two, so that a decimal of some length equals it."""
    return number.denominator & (number.denominator - 1) == 0


SHARES = (0.25, 0.15, 0.1, 0.42, 0.08)


def lost(objective: Objective, point: Point) -> Fraction:
    """How far the network's outputs at a point are from its exact ones, in a few orders of the
    sums; at least what rounding one output loses."""
    x = np.array([[float(each) for each in point]], dtype=np.float32)
    narrow = [Fraction(float(each)) for each in x[0]]
    y, _ = exact.outputs(objective.net, np.array([narrow], dtype=object))
    value = objective.of(narrow, y[0])
    losses = [Fraction(float(np.spacing(np.float32(float(value))))) / 2]
    for order in range(4):
        seen = reordered.outputs(objective.net, x, order)[0]
        if np.isfinite(seen).all():
            found = objective.of(narrow, [Fraction(float(each)) for each in seen])
            losses.append(abs(found - value))
    # float64 loses 2^29 times less.
    return max(losses) / (2**29 if objective.net.double else 1)


def inequality(
    rng: np.random.Generator,
    coefficients: list[str],
    factors: list[str],
    bound: str,
    strict: bool,
) -> str:
    """`Σ c·Y + Σ d·X ≤ bound`, or the same box_of_y: `Σ −c·Y − Σ d·X ≥ −bound`."""
    box_of_y = rng.random() < 0.5
    terms = []
    for letter, numbers in (("Y", coefficients), ("X", factors)):
        for place, number in enumerate(numbers):
            c = negated(number) if box_of_y else number
            if Fraction(c):
                term = f"{letter}_{place}"
                terms.append(term if Fraction(c) == 1 else f"(* {c} {term})")
    total = terms[0] if len(terms) == 1 else f"(+ {' '.join(terms)})"
    order = (">" if box_of_y else "<") + ("" if strict else "=")
    return f"({order} {total} {negated(bound) if box_of_y else bound})"


def negated(number: str) -> str:
    return number[1:] if number.startswith("-") else f"-{number}"


def write_property(
    rng: np.random.Generator,
    words: list[tuple[str, str]],
    atom: str,
    objective: Objective,
    least: Least,
) -> tuple[str, tuple[Region, ...], int]:
    """The VNN-LIB text, its regions, and the place of the whole box among them.

    The box stands alone or in an `or` with a tiny piece of itself; the atom stands alone, with one
    that holds at the least value, or in an `or` with one that holds nowhere near: the least value
    decides in each of them.
    """
    outputs = len(objective.coefficients)
    lines = [f"(declare-const X_{place} Real)" for place in range(len(words))]
    lines += [f"(declare-const Y_{place} Real)" for place in range(outputs)]
    pairs = [(words, region_of(words))]
    if rng.random() < 0.25:
        corner = [
            (low, as_decimal(Fraction(low) + (Fraction(high) - Fraction(low)) / 2**10))
            for low, high in words
        ]
        pairs.insert(int(rng.integers(2)), (corner, region_of(corner)))
    parts = [f"(and {' '.join(conditions(each))})" for each, _ in pairs]
    lines += [f"(assert (or {' '.join(parts)}))"] if len(parts) > 1 else [f"(assert {parts[0]})"]
    lines += [f"(assert {each})" for each in company(rng, atom, objective, least)]
    regions = tuple(region for _, region in pairs)
    return "\n".join([*lines, ""]), regions, [each is words for each, _ in pairs].index(True)


def region_of(words: list[tuple[str, str]]) -> Region:
    return Region(*(tuple(map(Fraction, ends)) for ends in zip(*words, strict=True)))


def company(rng: np.random.Generator, atom: str, objective: Objective, least: Least) -> list[str]:
    """The atom alone, or with a second one that does not change where the property is violated."""
    kind = rng.integers(6)
    y, _ = exact.outputs(objective.net, np.array([least.point], dtype=object))
    if kind == 0:
        place = int(rng.integers(len(y[0])))
        limit = y[0][place] + abs(y[0][place]) / 10**5 + Fraction(1, 10**9)
        return [atom, f"(<= Y_{place} {as_decimal(limit, 30)})"]
    if kind == 1:
        never = (
            f"(<= (+ {total_of(objective)}) {as_decimal(least.value - abs(least.value) - 10, 9)})"
        )
        return [f"(or {never} {atom})" if rng.random() < 0.5 else f"(or {atom} {never})"]
    return [atom]


def total_of(objective: Objective) -> str:
    """The objective in words."""
    numbers = [("Y", objective.coefficients), ("X", objective.inputs)]
    terms = [
        f"(* {as_decimal(c, 12)} {letter}_{place})"
        for letter, given in numbers
        for place, c in enumerate(given)
    ]
    return " ".join(terms)


def conditions(words: list[tuple[str, str]]) -> list[str]:
    return [
        f"({order} X_{place} {end})"
        for place, ends in enumerate(words)
        for order, end in zip((">=", "<="), ends, strict=True)
    ]
