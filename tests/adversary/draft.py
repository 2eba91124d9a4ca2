"""A random ONNX network, one step after the other: badly scaled, of every operator."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
DECIMALS = (0.1, 0.3, 0.7, 1.1, 2.3, 9.9, 0.01, 0.003, 48.24, 123.4)
# Constants a network is divided by.
DIVISORS = (3.0, 7.0, 0.3, 10.0, 255.0, 49.0, 1e-3, 1e3)
LIMITS = (0.5, 1.0, 6.0, 1e2, 1e4, 1e5, 1e6)


class Draft:
    """The nodes of a network that is being made, of float32 or, where it is `double`, of float64;
    `x` is the current value, of shape `[1, wide]`."""

    def __init__(self, rng: np.random.Generator, inputs: int, double: bool = False) -> None:
        self.rng, self.wide, self.x = rng, inputs, "x"
        self.double, self.dtype = double, np.float64 if double else np.float32
        self.inputs = inputs
        self.nodes: list[onnx.NodeProto] = []
        self.held: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def hold(self, array: object, dtype: type | None = None) -> str:
        name = f"c{len(self.held)}"
        self.held.append(
            numpy_helper.from_array(np.asarray(array, dtype=dtype or self.dtype), name)
        )
        return name

    def shaped(self, x: str, *shape: int) -> str:
        return self.add("Reshape", x, self.hold(shape, np.int64))

    def clipped(self, low: str, high: str) -> str:
        """The current value between two limits, each of which may be empty.

        ONNX Runtime fuses a Clip with the Relu before it, and fails to for float64 or without a
        limit below: there Min and Max stand for it.
        """
        behind_relu = bool(self.nodes) and self.nodes[-1].op_type == "Relu"
        if not behind_relu or (low and not self.double):
            return self.add("Clip", self.x, low, high)
        x = self.add("Max", self.x, low) if low else self.x
        return self.add("Min", x, high) if high else x

    def set(self, x: str, wide: int | None = None) -> None:
        self.x, self.wide = x, self.wide if wide is None else wide

    def model(self) -> onnx.ModelProto:
        last = self.add("Identity", self.x) if self.x == "x" else self.x
        kind = TensorProto.DOUBLE if self.double else TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", kind, [1, self.inputs])],
            [helper.make_tensor_value_info(last, kind, [1, self.wide])],
            self.held,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def numbers(self, *shape: int, low: float = -3, high: float = 3) -> np.ndarray:
        """Signed numbers of log-uniform magnitudes 10^low … 10^high: random float32, short binary
        fractions, or decimals that float32 does not hold."""
        rng = self.rng
        size = 10 ** rng.uniform(low, high, shape)
        kind = rng.integers(3)
        if kind == 1:
            size = 2.0 ** np.round(np.log2(size)) * rng.integers(1, 8, shape) / 4
        if kind == 2:
            size = rng.choice(DECIMALS, shape)
        return (size * rng.choice([-1.0, 1.0], shape)).astype(self.dtype)

    def spread(self) -> tuple[float, float]:
        """The powers of ten that weights of one layer lie between."""
        if self.rng.random() < 0.6:
            return -1.0, 0.5
        return -3.0, 3.0

    def bias(self, *shape: int) -> np.ndarray:
        """Small, zero, or up to 10^6."""
        kind = self.rng.integers(5)
        if kind == 0:
            return np.zeros(shape, dtype=self.dtype)
        if kind == 1:
            return self.numbers(*shape, low=2, high=6)
        return self.numbers(*shape, low=-2, high=1)


Step = Callable[[Draft], None]


def dense(d: Draft, wide: int | None = None) -> None:
    """Gemm, or MatMul and Add."""
    out = int(d.rng.integers(1, 13)) if wide is None else wide
    weight, bias = d.numbers(d.wide, out, low=d.spread()[0], high=d.spread()[1]), d.bias(out)
    kind = d.rng.integers(3)
    if kind == 0:
        d.set(d.add("Gemm", d.x, d.hold(weight), d.hold(bias)), out)
    elif kind == 1:
        d.set(d.add("Gemm", d.x, d.hold(weight.T.copy()), d.hold(bias), transB=1), out)
    else:
        product = d.add("MatMul", d.x, d.hold(weight))
        d.set(d.add("Add", product, d.hold(bias)), out)


def relu(d: Draft) -> None:
    d.set(d.add("Relu", d.x))


def leaky(d: Draft) -> None:
    slope = float(d.rng.choice([0.01, 0.1, 0.25, 0.5, 0.99, 1e-4]))
    d.set(d.add("LeakyRelu", d.x, alpha=slope))


def absolute(d: Draft) -> None:
    d.set(d.add("Abs", d.x))


def clip(d: Draft) -> None:
    """With limits up to 10^6, on one side or on both."""
    low, high = -float(d.rng.choice(LIMITS)), float(d.rng.choice(LIMITS))
    kind = d.rng.integers(4)
    if kind == 0:
        low = 0.0
    ends = (d.hold(low), d.hold(high))
    if kind == 1:
        ends = (d.hold(low), "")
    if kind == 2:
        ends = ("", d.hold(high))
    d.set(d.clipped(*ends))


def extreme(d: Draft) -> None:
    """Max or Min with a constant, or of two values."""
    op = str(d.rng.choice(["Max", "Min"]))
    if d.rng.random() < 0.5:
        d.set(d.add(op, d.x, d.hold(d.bias(d.wide))))
    else:
        weight = d.hold(d.numbers(d.wide, low=-1, high=1))
        d.set(d.add(op, d.x, d.add("Mul", d.x, weight)))


def divide(d: Draft) -> None:
    d.set(d.add("Div", d.x, d.hold([float(d.rng.choice(DIVISORS))])))


def scale(d: Draft) -> None:
    d.set(d.add("Mul", d.x, d.hold(d.numbers(d.wide, low=-2, high=2))))


def shift(d: Draft) -> None:
    op = str(d.rng.choice(["Add", "Sub"]))
    d.set(d.add(op, d.x, d.hold(d.bias(d.wide))))


def there_and_back(d: Draft) -> None:
    """Add a large constant, clip, and take the constant away."""
    large = d.hold([float(d.rng.choice([1e3, 12345.6, 1e5, 1e6]))])
    d.set(d.add("Sub", d.add("Relu", d.add("Add", d.x, large)), large))


def negate(d: Draft) -> None:
    d.set(d.add("Neg", d.x))


def normalize(d: Draft) -> None:
    """BatchNormalization whose root is rational, or is not."""
    if d.rng.random() < 0.5:
        variance, epsilon = d.rng.choice([0.25, 1.0, 4.0, 9.0, 2.25], d.wide), 0.0
    else:
        variance, epsilon = np.abs(d.numbers(d.wide)), 1e-5
    held = (d.numbers(d.wide, low=-1, high=1), d.bias(d.wide), d.bias(d.wide), variance)
    d.set(d.add("BatchNormalization", d.x, *map(d.hold, held), epsilon=epsilon))


def residual(d: Draft) -> None:
    start, wide = d.x, d.wide
    dense(d)
    relu(d)
    dense(d, wide)
    d.set(d.add(str(d.rng.choice(["Add", "Sub"])), start, d.x))


def concat(d: Draft) -> None:
    start, wide = d.x, d.wide
    step = (relu, absolute, scale, negate)[d.rng.integers(4)]
    step(d)
    d.set(d.add("Concat", start, d.x, axis=1), wide + d.wide)


def convolve(d: Draft) -> None:
    """Conv over one axis, or over two."""
    channels, kernel = int(d.rng.integers(1, 4)), int(d.rng.integers(1, min(4, d.wide + 1)))
    pad, stride = int(d.rng.integers(0, 2)), int(d.rng.integers(1, 3))
    length = (d.wide + 2 * pad - kernel) // stride + 1
    low, high = d.spread()
    bias = d.hold(d.bias(channels))
    if d.rng.random() < 0.5:
        weight = d.hold(d.numbers(channels, 1, kernel, low=low, high=high))
        x = d.shaped(d.x, 1, 1, d.wide)
        x = d.add("Conv", x, weight, bias, strides=[stride], pads=[pad, pad])
    else:
        weight = d.hold(d.numbers(channels, 1, 1, kernel, low=low, high=high))
        x = d.shaped(d.x, 1, 1, 1, d.wide)
        x = d.add("Conv", x, weight, bias, strides=[1, stride], pads=[0, pad, 0, pad])
    d.set(d.add("Flatten", x), channels * length)


def pool(d: Draft) -> None:
    if d.wide < 2:
        return
    kernel = int(d.rng.integers(2, min(4, d.wide) + 1))
    stride = int(d.rng.integers(1, kernel + 1))
    x = d.shaped(d.x, 1, 1, d.wide)
    op = str(d.rng.choice(["MaxPool", "AveragePool"]))
    x = d.add(op, x, kernel_shape=[kernel], strides=[stride])
    d.set(d.add("Flatten", x), (d.wide - kernel) // stride + 1)


def reduce(d: Draft) -> None:
    """A sum, mean or largest of pairs of neurons, or of all of them."""
    op = str(d.rng.choice(["ReduceSum", "ReduceMean", "ReduceMax"]))
    x, wide = d.x, 1
    if d.wide % 2 == 0 and d.rng.random() < 0.6:
        wide = d.wide // 2
        x = d.shaped(x, 1, wide, 2)
    axis = 1 if wide == 1 and x == d.x else 2
    axes = {"axes": [axis]} if op != "ReduceSum" else {}
    extra = (d.hold([axis], np.int64),) if op == "ReduceSum" else ()
    x = d.add(op, x, *extra, keepdims=1, **axes)
    d.set(d.shaped(x, 1, wide), wide)


def move(d: Draft) -> None:
    """Slice, Gather, Pad or Transpose."""
    kind = d.rng.integers(4)
    if kind == 0 and d.wide > 1:
        ends = (d.hold([1], np.int64), d.hold([d.wide], np.int64), d.hold([1], np.int64))
        d.set(d.add("Slice", d.x, *ends), d.wide - 1)
    elif kind == 1:
        index = d.rng.integers(0, d.wide, min(12, d.wide + 1))
        d.set(d.add("Gather", d.x, d.hold(index, np.int64), axis=1), len(index))
    elif kind == 2:
        filling = d.hold(float(d.bias(1)[0]))
        d.set(d.add("Pad", d.x, d.hold([0, 1, 0, 0], np.int64), filling), d.wide + 1)
    elif d.wide % 2 == 0:
        x = d.add("Transpose", d.shaped(d.x, 1, 2, d.wide // 2), perm=[0, 2, 1])
        d.set(d.shaped(x, 1, d.wide))


def tamed(d: Draft) -> str:
    """The current value, kept between −8 and 8 by a Clip, so that exponentials stay small."""
    return d.clipped(d.hold(-8.0), d.hold(8.0))


def curve(d: Draft) -> None:
    op = str(d.rng.choice(["Sigmoid", "Tanh", "Exp", "Sin", "Cos"]))
    d.set(d.add(op, tamed(d)))


def positive(d: Draft) -> None:
    """Log, Sqrt or Reciprocal of a value that a constant keeps above zero."""
    op = str(d.rng.choice(["Log", "Sqrt", "Reciprocal"]))
    apart = d.hold([float(d.rng.choice([0.1, 0.5, 1.0, 3.0]))])
    d.set(d.add(op, d.add("Add", d.add("Relu", d.x), apart)))


def square(d: Draft) -> None:
    """A square, or a product of two values."""
    x = d.clipped(d.hold(-100.0), d.hold(100.0))
    if d.rng.random() < 0.5:
        d.set(d.add("Pow", x, d.hold(float(d.rng.choice([2, 3])))))
    else:
        d.set(d.add("Mul", x, d.add("Relu", x)))


def softmax(d: Draft) -> None:
    d.set(d.add("Softmax", tamed(d), axis=1))


BENDS: tuple[Step, ...] = (relu, relu, relu, leaky, absolute, clip, clip, extreme, there_and_back)
AFFINE: tuple[Step, ...] = (divide, scale, shift, negate, normalize, move, reduce)
SHAPES: tuple[Step, ...] = (residual, concat, convolve, pool)
CURVES: tuple[Step, ...] = (curve, curve, positive, square, softmax)
# ONNX Runtime has these for float32 alone.
NARROW: tuple[Step, ...] = (leaky, convolve, pool)


def random_network(
    rng: np.random.Generator, inputs: int, smooth: bool, double: bool
) -> tuple[Draft, int]:
    """A network of 1 to 4 layers and its number of outputs."""
    d = Draft(rng, inputs, double)

    def one_of(steps: tuple[Step, ...]) -> None:
        known = [step for step in steps if not double or step not in NARROW]
        known[rng.integers(len(known))](d)

    if rng.random() < 0.2:
        one_of((divide, scale, shift))
    for _ in range(int(rng.integers(1, 5))):
        if rng.random() < 0.8:
            dense(d)
        if rng.random() < 0.25:
            one_of(AFFINE)
        one_of(CURVES if smooth and rng.random() < 0.5 else BENDS)
        if rng.random() < 0.3:
            one_of(SHAPES)
        if d.wide > 24:
            dense(d)
    if rng.random() < 0.85:
        dense(d, int(rng.integers(1, 4)))
    if rng.random() < 0.15:
        one_of((divide, scale, shift))
    return d, d.wide


def as_decimal(number: Fraction | float, digits: int | None = None) -> str:
    """A decimal: exact for a binary fraction where `digits` is None, else of that many digits."""
    exact = Fraction(number)
    if digits is None:
        places = exact.denominator.bit_length() - 1
        if exact.denominator != 1 << places:
            return as_decimal(exact, 40)
        scaled, sign = abs(exact.numerator) * 5**places, "-" if exact < 0 else ""
        text = str(scaled).rjust(places + 1, "0")
        return sign + (f"{text[:-places]}.{text[-places:]}" if places else text)
    whole = len(str(abs(int(exact)))) if abs(exact) >= 1 else 1 - leading_zeros(exact)
    places = max(digits - whole, 0)
    scaled = round(abs(exact) * 10**places)
    text = str(scaled).rjust(places + 1, "0")
    sign = "-" if exact < 0 else ""
    return sign + (f"{text[:-places]}.{text[-places:]}" if places else text)


def leading_zeros(number: Fraction) -> int:
    """Zeros behind the point before the first digit of a number between −1 and 1."""
    zeros, value = 0, abs(number) * 10
    while value and value < 1:
        zeros, value = zeros + 1, value * 10
    return zeros
