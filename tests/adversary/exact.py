"""An ONNX network in exact rational arithmetic; functions that leave the rationals to 50 digits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import mpmath
import numpy as np

from tests.adversary import network
from tests.adversary.rational import Rational, integers, joined, objects, reduced, together

DIGITS = 60
# Two numbers that functions of `DIGITS` digits went into are told apart only beyond this.
DOUBT = Fraction(1, 10**40)
# Numbers longer than this many bits come from exponentials of huge numbers: nothing to test.
LONGEST = 20_000
# More different divisors than this have no short common multiple.
DIVISORS = 24

Function = Callable[[mpmath.mpf], mpmath.mpf]

FUNCTIONS: dict[str, Function] = {
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "exp": mpmath.exp,
    "log": mpmath.log,
    "sqrt": mpmath.sqrt,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "reciprocal": lambda x: 1 / x,
    "erf": mpmath.erf,
    "tan": mpmath.tan,
    "atan": mpmath.atan,
    "asinh": mpmath.asinh,
    "softsign": lambda x: x / (1 + abs(x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "gelu": lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    "hard_swish": lambda x: x * min(max(x / 6 + mpmath.mpf("0.5"), 0), 1),
}


def elu(alpha: float) -> Function:
    """Return the function that is x above zero and `alpha·(eˣ − 1)` below."""
    return lambda x: x if x > 0 else mpmath.mpf(alpha) * mpmath.expm1(x)


def gelu_tanh(factor: float, cubic: float) -> Function:
    """Return the function `x/2·(1 + tanh(factor·(x + cubic·x³)))`."""
    k, c = mpmath.mpf(factor), mpmath.mpf(cubic)
    return lambda x: x / (1 + mpmath.exp(-2 * k * (x + c * x**3)))


def softmax(values: Sequence[Fraction]) -> list[Fraction]:
    """Return `exp(xᵢ)/Σⱼ exp(xⱼ)` to `DIGITS` digits."""
    with mpmath.workdps(DIGITS):
        top = max(values)
        away = [each - top for each in values]
        parts = [mpmath.exp(mpmath.mpf(each.numerator) / each.denominator) for each in away]
        whole = mpmath.fsum(parts)
        return [fraction(part / whole) for part in parts]


class Exact:
    """The arithmetic of rational arrays `[K, *shape]`, K points side by side.

    `rounded` becomes true once a function was computed to `DIGITS` digits only.
    """

    def __init__(self) -> None:
        self.rounded = False

    def constant(self, array: np.ndarray) -> Rational:
        return Rational.of(np.asarray(array)[None])

    def take(self, x: Rational, index: np.ndarray) -> Rational:
        """`x` at flat places, in the shape of `index`; zero where the place is −1."""
        flat = x.numerators.reshape(len(x.numerators), -1)
        found = flat[:, np.maximum(index, 0).reshape(-1)].reshape(len(flat), *index.shape)
        if (index < 0).any():
            found = np.where(index < 0, 0, found)
        return x.with_numerators(found)

    def join(self, parts: Sequence[Rational], axis: int) -> Rational:
        return joined(list(parts), axis)

    def add(self, a: Rational, b: Rational) -> Rational:
        return a + b

    def subtract(self, a: Rational, b: Rational) -> Rational:
        return a - b

    def multiply(self, a: Rational, b: Rational) -> Rational:
        return a * b

    def divide(self, a: Rational, b: Rational) -> Rational:
        """`a / b`; exact for few different divisors, which constants are."""
        divisors = {abs(each) for each in b.numerators.reshape(-1).tolist()}
        if len(divisors) > DIVISORS:
            return a * self.function("reciprocal", b)
        common = math.lcm(*divisors)
        flat = [common // each * b.denominator for each in b.numerators.reshape(-1).tolist()]
        return reduced(Rational(a.numerators * integers(flat, b.shape), a.denominator * common))

    def negate(self, x: Rational) -> Rational:
        return -x

    def maximum(self, a: Rational, b: Rational) -> Rational:
        one, two, common = together(a, b)
        return Rational(np.where(one > two, one, two), common)

    def minimum(self, a: Rational, b: Rational) -> Rational:
        return -self.maximum(-a, -b)

    def where_negative(self, x: Rational, slope: Rational) -> Rational:
        """`x` above zero and `slope·x` below."""
        below, above, common = together(x * slope, x)
        return Rational(np.where(x.numerators < 0, below, above), common)

    def dot(self, a: Rational, b: Rational, bias: Rational | None = None) -> Rational:
        """The sum of `a·b` over the last axis, and a bias."""
        total = self.total(a * b)
        return total if bias is None else total + bias

    def total(self, x: Rational) -> Rational:
        return x.with_numerators(x.numerators.sum(axis=-1))

    def largest(self, x: Rational) -> Rational:
        return x.with_numerators(x.numerators.max(axis=-1))

    def power(self, x: Rational, exponent: float) -> Rational:
        """`x**exponent`; exact for a whole number above zero."""
        if exponent == int(exponent) and 0 < exponent <= 8:
            result = x
            for _ in range(int(exponent) - 1):
                result = result * x
            return result
        return self._each(x, lambda value: value ** mpmath.mpf(exponent))

    def function(self, name: str, x: Rational) -> Rational:
        return self._each(x, FUNCTIONS[name])

    def function_of(self, function: Function, x: Rational) -> Rational:
        """A function of each element, to `DIGITS` digits."""
        return self._each(x, function)

    def exactly(self, function: Callable[[Fraction], Fraction | int], x: Rational) -> Rational:
        """A function of each element that stays in the rationals."""
        found = [Fraction(function(each)) for each in x.fractions().reshape(-1).tolist()]
        return Rational.of(objects(found, x.shape))

    def along(
        self, function: Callable[[list[Fraction]], Sequence[Fraction | int]], x: Rational, axis: int
    ) -> Rational:
        """A function of the elements along an axis, which gives a list of elements."""
        last = np.moveaxis(x.fractions(), axis, -1)
        rows = [
            [Fraction(each) for each in function(list(row))]
            for row in last.reshape(-1, last.shape[-1])
        ]
        flat = [each for row in rows for each in row]
        found = objects(flat, (*last.shape[:-1], len(rows[0])))
        return Rational.of(np.ascontiguousarray(np.moveaxis(found, -1, axis)))

    def softmax(self, x: Rational, axis: int) -> Rational:
        self.rounded = True
        return self.along(softmax, x, axis)

    def steps(self, name: str, x: Rational) -> Rational:
        """floor, ceil, sign, or round (halves to the even side)."""
        step = {
            "floor": math.floor,
            "ceil": math.ceil,
            "round": round,
            "sign": lambda value: (value > 0) - (value < 0),
        }[name]
        flat = [step(each) for each in x.fractions().reshape(-1).tolist()]
        return Rational(integers(flat, x.shape))

    def _each(self, x: Rational, function) -> Rational:
        self.rounded = True
        with mpmath.workdps(DIGITS):
            below = mpmath.mpf(x.denominator)
            found = [
                fraction(function(mpmath.mpf(each) / below))
                for each in x.numerators.reshape(-1).tolist()
            ]
        return Rational.of(objects(found, x.shape))


def fraction(value: mpmath.mpf) -> Fraction:
    """The exact value of a number of mpmath; OverflowError where it is not finite or huge."""
    sign, mantissa, exponent, _ = value._mpf_ if isinstance(value, mpmath.mpf) else (0, 0, 1, 0)
    if (not mantissa and exponent) or abs(exponent) > LONGEST:
        raise OverflowError(f"{value} is not a number of reasonable length")
    signed = -int(mantissa) if sign else int(mantissa)
    return Fraction(signed * 2**exponent) if exponent >= 0 else Fraction(signed, 2**-exponent)


def outputs(net: network.Network, points: np.ndarray) -> tuple[np.ndarray, Fraction]:
    """The flat outputs `[K, outputs]` as Fractions at points `[K, inputs]` (numbers of any exact
    kind), and by how much (relative to 1 and to the output) they may be off: 0 or `DOUBT`."""
    how = Exact()
    found = net.run(how, Rational.of(points))
    flat = found.reshape(len(found.numerators), -1).fractions()
    return flat, DOUBT if how.rounded else Fraction(0)
