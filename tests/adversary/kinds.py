"""Small networks of the kinds that rounding has fooled, each with a point that breaks its property.

Each is made from a seed: numbers differ, the kind stays. The point satisfies every assertion in the
arithmetic that `semantics` names, so that `unsat` is wrong there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tests.adversary import exact
from tests.adversary.draft import Draft, as_decimal
from tests.adversary.network import Network


@dataclass(frozen=True)
class Witnessed:
    """A network, a property, and a point at which the property's assertions hold."""

    net: Network
    text: str
    point: tuple[Fraction, ...]
    semantics: str = "real"


Rng = np.random.Generator
Kind = Callable[[Rng], Witnessed]


def text_of(boxes: list[list[tuple[str, str]]], outputs: int, *assertions: str) -> str:
    """A property on one box, or on several in an `or`."""
    lines = [f"(declare-const X_{place} Real)" for place in range(len(boxes[0]))]
    lines += [f"(declare-const Y_{place} Real)" for place in range(outputs)]
    parts = [
        [f"(>= X_{p} {low}) (<= X_{p} {high})" for p, (low, high) in enumerate(box)]
        for box in boxes
    ]
    together = " ".join(f"(and {' '.join(part)})" for part in parts)
    lines.append(f"(assert (or {together}))" if len(boxes) > 1 else f"(assert {together})")
    lines += [f"(assert {each})" for each in assertions]
    return "\n".join([*lines, ""])


def value_at(net: Network, point: tuple[Fraction, ...], *coefficients: str) -> Fraction:
    """`Σ coefficient·output` at a point, exactly."""
    y, _ = exact.outputs(net, np.array([point], dtype=object))
    pairs = zip(coefficients, y[0], strict=True)
    return sum((Fraction(c) * each for c, each in pairs), Fraction(0))


def just_below(value: Fraction, share: float = 2e-8) -> str:
    """A decimal below the value by `share` of it."""
    return as_decimal(value - abs(value) * Fraction(share), 20)


def just_above(value: Fraction, share: float = 2e-8) -> str:
    return as_decimal(value + abs(value) * Fraction(share), 20)


def large_clip(rng: Rng) -> Witnessed:
    """A Clip whose limits are far beyond what the values reach; the sum is largest at a corner."""
    d, limit = Draft(rng, 2), float(rng.choice([1e4, 3e4, 1e5, 1e6]))
    weight = rng.uniform(0.3, 1.5, (2, 3)).astype(np.float32)
    d.set(d.add("Gemm", d.x, d.hold(weight), d.hold(rng.uniform(0.1, 0.5, 3))), 3)
    d.set(d.add("Clip", d.x, d.hold(-limit), d.hold(limit)))
    d.set(d.add("Relu", d.x))
    d.set(d.add("Gemm", d.x, d.hold(np.ones((3, 1))), d.hold([0.25])), 1)
    net = Network(d.model())
    high = as_decimal(float(np.float32(rng.uniform(0.6, 9))))
    point = (Fraction(high), Fraction(high))
    bound = just_below(value_at(net, point, "1"))
    return Witnessed(net, text_of([[("0.5", high)] * 2], 1, f"(>= Y_0 {bound})"), point)


def divisor(rng: Rng) -> Witnessed:
    """A division by a constant whose reciprocal float32 does not hold, of large inputs."""
    d, by = Draft(rng, 1), float(rng.choice([3.0, 7.0, 49.0, 10.0, 0.3]))
    d.set(d.add("Div", d.x, d.hold([by])))
    if rng.random() < 0.5:
        d.set(d.add("Relu", d.x))
    net = Network(d.model())
    low = int(rng.integers(1_000_000, 9_000_000))
    value = value_at(net, (Fraction(low),), "1")
    bound = just_above(value, 1e-9 if rng.random() < 0.5 else 2e-8)
    text = text_of([[(str(low), str(low + 1_000_000))]], 1, f"(<= Y_0 {bound})")
    return Witnessed(net, text, (Fraction(low),))


def decimal_condition(rng: Rng) -> Witnessed:
    """A condition on the input that decimals meet at the end of the box, and there alone."""
    d = Draft(rng, 1)
    d.set(d.add("Relu", d.x))
    high = Fraction(int(rng.integers(1, 16)), 16)
    slope = Fraction(int(rng.integers(100, 999)), 1000)
    start = Fraction(int(rng.integers(1, 9)), 10)
    reached = as_decimal(start + slope * high)
    words = f"(+ {as_decimal(start, 6)} (* X_0 {as_decimal(slope, 6)}))"
    box = [("0.03125", as_decimal(high))]
    text = text_of([box], 1, f"(>= {words} {reached})", "(>= Y_0 0.01)")
    return Witnessed(Network(d.model()), text, (high,))


def coefficients(rng: Rng) -> Witnessed:
    """Large outputs whose sum with decimal coefficients cancels at the tip of a bump."""
    tip = float(rng.choice([0.5, 0.25, -0.75]))
    one, two = (Fraction(int(n), 100) for n in rng.integers(101, 999, 2))
    # one·8 + two·16 − three = 0 where the decimals are exact.
    three = one * 8 + two * 16
    d, height = Draft(rng, 1), float(2 ** rng.integers(16, 20))
    bump = d.add("Mul", d.add("Abs", d.add("Sub", "x", d.hold([tip]))), d.hold([4096.0]))
    bump = d.add("Relu", d.add("Sub", d.hold([1.0]), bump))
    tall = d.add("Mul", bump, d.hold([-height]))
    parts = [d.add("Mul", tall, d.hold([8.0])), d.add("Mul", tall, d.hold([16.0])), tall]
    # Less than zero at the tip by what the coefficients' rounding outweighs.
    small = d.add("Add", d.add("Mul", bump, d.hold([-0.02])), d.hold([0.01]))
    d.set(d.add("Concat", *parts, small, axis=1), 4)
    numbers = [as_decimal(each, 12) for each in (one, two, -three)]
    terms = " ".join(f"(* {n} Y_{place})" for place, n in enumerate(numbers))
    text = text_of([[("-1", "1")]], 4, f"(<= (+ {terms} Y_3) 0.0)")
    return Witnessed(Network(d.model()), text, (Fraction(tip),))


def far_regions(rng: Rng) -> Witnessed:
    """Two regions, one near zero and one near 10^6, whose rounding differs by as much."""
    d, wide = Draft(rng, 2), 6
    weight = rng.uniform(0.1, 1.0, (2, wide)).astype(np.float32)
    hidden = d.add("Relu", d.add("Gemm", "x", d.hold(weight), d.hold(np.zeros(wide))))
    parts = []
    for _ in range(2):
        out, bias = rng.uniform(0.1, 4, (wide, 1)), rng.uniform(0, 0.2, 1)
        parts.append(d.add("Gemm", hidden, d.hold(out), d.hold(bias)))
    d.set(d.add("Concat", *parts, axis=1), 2)
    net = Network(d.model())
    low = int(rng.integers(900_000, 1_100_000))
    boxes = [[("0", "0.001")] * 2, [(str(low), str(low + 2))] * 2]
    corners = [(Fraction(a), Fraction(b)) for a in (low, low + 2) for b in (low, low + 2)]
    point = min(corners, key=lambda each: value_at(net, each, "1", "-1"))
    value = value_at(net, point, "1", "-1")
    # Nothing of the small region comes near this bound unless the difference is positive there.
    if value > 0:
        value, point = -value_at(net, point, "1", "-1"), point
        atom = f"(>= (- Y_0 Y_1) {just_below(-value, 1e-9)})"
    else:
        atom = f"(<= (- Y_0 Y_1) {just_above(value, 1e-9)})"
    if rng.random() < 0.5:
        boxes.reverse()
    return Witnessed(net, text_of(boxes, 2, atom), point)


def hidden_bump(rng: Rng) -> Witnessed:
    """`relu(x + b) − b` loses x in float32 where a narrow bump makes b large: 0 in place of x."""
    tip = float(rng.choice([0.3125, 0.4375, 0.6875]))
    steep, tall = float(rng.choice([512.0, 1024.0])), float(2 ** rng.integers(24, 27))
    d = Draft(rng, 2)
    both = d.hold([[0.0, 0.0], [1.0, -1.0]])
    away = d.add("Relu", d.add("Gemm", "x", both, d.hold([-tip, tip])))
    bump = d.add("Gemm", away, d.hold([[-steep], [-steep]]), d.hold([1.0]))
    large = d.add("Mul", d.add("Relu", bump), d.hold([tall]))
    first = d.add("Gemm", "x", d.hold([[1.0], [0.0]]), d.hold([0.0]))
    d.set(d.add("Sub", d.add("Relu", d.add("Add", first, large)), large), 1)
    text = text_of([[("0.4", "0.6"), ("0", "1")]], 1, "(<= Y_0 0.35)")
    point = (Fraction(float(np.float32(0.45))), Fraction(tip))
    return Witnessed(Network(d.model()), text, point, "float32")


def decimal_ends(rng: Rng) -> Witnessed:
    """An end of the box that no binary number holds; the least output lies on it exactly."""
    d, factor = Draft(rng, 1), float(rng.choice([1e3, 1e6, 4096.0]))
    d.set(d.add("Mul", d.x, d.hold([factor])))
    d.set(d.add("Relu", d.x))
    low = Fraction(int(rng.choice([1, 3, 7, 9])), 10) + Fraction(int(rng.integers(1, 99)), 1000)
    text = text_of(
        [[(as_decimal(low, 6), "3")]], 1, f"(<= Y_0 {as_decimal(low * int(factor), 12)})"
    )
    return Witnessed(Network(d.model()), text, (low,))


def there_and_back(rng: Rng) -> Witnessed:
    """A large constant that is added and taken away again around a Relu."""
    d, large = Draft(rng, 1), float(rng.choice([1e5, 1e6, 123456.7]))
    held = d.hold([large])
    d.set(d.add("Sub", d.add("Relu", d.add("Add", d.x, held)), held))
    high = float(np.float32(rng.uniform(0.3, 3)))
    net, point = Network(d.model()), (Fraction(high),)
    bound = just_below(value_at(net, point, "1"), 1e-9)
    return Witnessed(net, text_of([[("-1", as_decimal(high))]], 1, f"(>= Y_0 {bound})"), point)


def means(rng: Rng) -> Witnessed:
    """A mean of 3, 5 or 7 values: the reciprocal of their number is no binary number."""
    count = int(rng.choice([3, 5, 7]))
    d = Draft(rng, 1)
    weight = rng.uniform(0.5, 2, (1, count)).astype(np.float32)
    d.set(d.add("Relu", d.add("MatMul", d.x, d.hold(weight))), count)
    if rng.random() < 0.5:
        d.set(d.add("ReduceMean", d.x, axes=[1], keepdims=1), 1)
    else:
        pooled = d.add("AveragePool", d.shaped(d.x, 1, 1, count), kernel_shape=[count])
        d.set(d.add("Flatten", pooled), 1)
    high = int(rng.integers(1, 1_000_000))
    net, point = Network(d.model()), (Fraction(high),)
    bound = just_below(value_at(net, point, "1"), 1e-9)
    return Witnessed(net, text_of([[("0", str(high))]], 1, f"(>= Y_0 {bound})"), point)


def folded_scales(rng: Rng) -> Witnessed:
    """Scales and shifts in a row, which a reader may fold into one."""
    d = Draft(rng, 1)
    d.set(d.add("Mul", d.x, d.hold([float(rng.choice([0.1, 0.3, 0.7]))])))
    d.set(d.add("Add", d.x, d.hold([float(rng.choice([1e4, 12345.6]))])))
    d.set(d.add("Mul", d.x, d.hold([float(rng.choice([10.1, 3.3, 0.9]))])))
    d.set(d.add("Relu", d.x))
    d.set(d.add("Sub", d.x, d.hold([float(rng.choice([1e4, 9999.9]))])))
    high = float(np.float32(rng.uniform(0.3, 3)))
    net, point = Network(d.model()), (Fraction(high),)
    bound = just_below(value_at(net, point, "1"), 1e-9)
    return Witnessed(net, text_of([[("-1", as_decimal(high))]], 1, f"(>= Y_0 {bound})"), point)


def normalized(rng: Rng) -> Witnessed:
    """A BatchNormalization of large mean behind a Gemm, which readers fold into it."""
    d, wide = Draft(rng, 1), 3
    weight = rng.uniform(0.5, 2, (1, wide)).astype(np.float32)
    d.set(d.add("Gemm", d.x, d.hold(weight), d.hold(rng.uniform(1e3, 1e4, wide))), wide)
    affine = rng.uniform(0.5, 2, wide), rng.uniform(0, 1, wide)
    moments = rng.uniform(-1e4, -1e3, wide), rng.choice([0.25, 2.25, 9.0], wide)
    held = (*affine, *moments)
    d.set(d.add("BatchNormalization", d.x, *map(d.hold, held), epsilon=0.0))
    d.set(d.add("Relu", d.x))
    d.set(d.add("Gemm", d.x, d.hold(np.ones((wide, 1))), d.hold([-1e4])), 1)
    high = float(np.float32(rng.uniform(0.3, 3)))
    net, point = Network(d.model()), (Fraction(high),)
    bound = just_below(value_at(net, point, "1"), 1e-9)
    return Witnessed(net, text_of([[("-1", as_decimal(high))]], 1, f"(>= Y_0 {bound})"), point)


KINDS: dict[str, Kind] = {
    each.__name__: each
    for each in (
        large_clip,
        divisor,
        decimal_condition,
        coefficients,
        far_regions,
        hidden_bump,
        decimal_ends,
        there_and_back,
        means,
        folded_scales,
        normalized,
    )
}
