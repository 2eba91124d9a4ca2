"""Nodes of every operator, with weights and boxes: what the property tests run on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node, Shape
from boundmesh.operators.operator import Operator

DOMAINS, ROWS = 3, 4


@dataclass(frozen=True)
class Sample:
    """A node, its weights (float64), and the range `[low, high]` that its inputs' boxes lie in."""

    node: Node
    weights: tuple[Tensor, ...] = ()
    low: float = -4.0
    high: float = 4.0

    @property
    def operator(self) -> Operator:
        return RULES[self.node.op]

    def weights_in(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        return tuple(weight.to(dtype) for weight in self.weights)

    def boxes(self, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Interval, ...]:
        """One box `[DOMAINS, *input_shape]` per input, of every kind: points, slivers, boxes that
        touch zero, and boxes as wide as the range."""
        generator = torch.Generator().manual_seed(seed)
        if self.node.op == "either":  # Its inputs are equal.
            return (self._box((DOMAINS, *self.node.shape), dtype, generator),) * 2
        boxes = tuple(
            self._box((DOMAINS, *shape), dtype, generator) for shape in self.node.input_shapes
        )
        return held(boxes) if self.node.op == "change" else boxes

    def _box(self, shape: Shape, dtype: torch.dtype, generator: torch.Generator) -> Interval:
        def random() -> Tensor:
            return torch.rand(shape, generator=generator, dtype=torch.float64)

        width = self.high - self.low
        center, kind = self.low + width * random(), torch.randint(0, 6, shape, generator=generator)
        radius = width * random()
        for number, share in enumerate((0.0, 1e-7, 0.05, 0.3)):
            radius = torch.where(kind == number, share * radius, radius)
        lower = (center - radius).clamp(self.low, self.high).to(dtype)
        upper = (center + radius).clamp(self.low, self.high).to(dtype)
        lower = torch.where((kind == 4) & (upper >= 0) & (self.low <= 0), 0, lower)
        upper = torch.where((kind == 5) & (lower <= 0) & (self.high >= 0), 0, upper)
        return Interval(lower, upper)


def held(boxes: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """Return the boxes with that of the sum of the first and second values as the third one."""
    z, d, _ = boxes
    return z, d, Interval(z.lower + d.lower, z.upper + d.upper)


def points_in(box: Interval, count: int, seed: int = 0) -> Iterator[Tensor]:
    """The box's ends, then random points of it, some on its faces."""
    generator = torch.Generator().manual_seed(seed)
    yield box.lower
    yield box.upper
    for number in range(count):
        share = torch.rand(box.lower.shape, generator=generator, dtype=box.lower.dtype)
        if number % 2:
            share = share.round()
        point = box.lower + share * (box.upper - box.lower)
        yield point.clamp(box.lower, box.upper)


def inputs_in(boxes: tuple[Interval, ...], count: int, seed: int = 0) -> Iterator[list[Tensor]]:
    """Values of all inputs of a node, inside of its boxes. Inputs with one box are equal."""
    if not boxes:
        yield from ([] for _ in range(count + 2))
    places = [next(p for p, other in enumerate(boxes) if other is box) for box in boxes]
    walks = [
        points_in(box, count, seed + 1000 * place) for place, box in zip(places, boxes, strict=True)
    ]
    yield from map(list, zip(*walks, strict=True))


def sample(
    op: str,
    *input_shapes: Shape,
    shape: Shape | None = None,
    weights: tuple[Shape, ...] = (),
    within: tuple[float, float] = (-4.0, 4.0),
    **attributes: object,
) -> Sample:
    generator = torch.Generator().manual_seed(len(op))
    held = tuple(torch.randn(w, generator=generator, dtype=torch.float64) for w in weights)
    names = tuple(f"x{place}" for place in range(len(input_shapes)))
    node = Node(f"{op}_1", op, names, shape or (), input_shapes, attributes)
    zeros = [torch.zeros(1, *each, dtype=torch.float64) for each in input_shapes]
    found = RULES[op].forward(node, held, *zeros)
    return Sample(replace(node, shape=tuple(found.shape[1:])), held, *within)


def convolutions() -> Iterator[Sample]:
    yield sample(
        "conv", (1, 4, 9), weights=((6, 4, 3), (6,)),
        stride=(4,), dilation=(1,), padding=((1, 0),), groups=1,
    )  # fmt: skip
    yield sample(
        "conv", (1, 4, 7, 9), weights=((6, 2, 3, 2), (6,)),
        stride=(2, 3), dilation=(1, 2), padding=((1, 2), (0, 3)), groups=2,
    )  # fmt: skip
    yield sample(
        "conv", (2, 3, 5, 5), weights=((2, 3, 3, 3),),
        stride=(1, 2), dilation=(2, 1), padding=((2, 2), (1, 1)), groups=1,
    )  # fmt: skip
    yield sample(
        "conv", (1, 2, 5, 4, 3), weights=((4, 1, 2, 3, 1), (4,)),
        stride=(2, 1, 2), dilation=(1, 1, 1), padding=((1, 0), (1, 1), (0, 0)), groups=2,
    )  # fmt: skip
    yield sample(
        "conv", (2, 3, 7, 6), weights=((4, 3, 2, 3), (4,)),
        stride=(2, 3), dilation=(1, 1), padding=((0, 0), (0, 0)), groups=1,
    )  # fmt: skip


def transposed_convolutions() -> Iterator[Sample]:
    yield sample(
        "conv_transpose", (1, 4, 5), weights=((4, 3, 3), (3,)),
        stride=(2,), dilation=(3,), padding=((1, 0),), output_padding=(2,), groups=1,
    )  # fmt: skip
    yield sample(
        "conv_transpose", (1, 4, 5, 3), weights=((4, 3, 3, 2), (6,)),
        stride=(2, 3), dilation=(1, 2), padding=((1, 0), (1, 2)), output_padding=(1, 1), groups=2,
    )  # fmt: skip
    yield sample(
        "conv_transpose", (2, 3, 3, 2, 2), weights=((3, 2, 2, 2, 2),),
        stride=(2, 1, 2), dilation=(1, 1, 1), padding=((0, 0), (1, 1), (0, 0)),
        output_padding=(0, 0, 1), groups=1,
    )  # fmt: skip
    yield sample(
        "conv_transpose", (1, 3, 2, 3), weights=((3, 4, 2, 3), (4,)),
        stride=(2, 3), dilation=(1, 1), padding=((0, 0), (0, 0)), output_padding=(1, 0), groups=1,
    )  # fmt: skip


def affine() -> Iterator[Sample]:
    yield sample("constant", weights=((3, 4),))
    yield sample("linear", (7,), weights=((5, 7), (5,)))
    yield sample("linear", (2, 3, 7), weights=((5, 7),))
    yield sample("linear", (2, 3, 7), weights=((5, 7), (5,)))
    yield from convolutions()
    yield from transposed_convolutions()
    yield sample("scale", (3, 5), weights=((5,),))
    yield sample("scale", (3, 5), weights=((),))
    yield sample("shift", (3, 5), shape=(3, 5), weights=((3, 1),))
    yield sample("add", (3, 5), (3, 5))
    yield sample("subtract", (3, 5), (3, 5))
    yield sample("reshape", (3, 4), shape=(2, 1, 6))
    yield sample("transpose", (3, 5, 2), perm=(2, 0, 1))
    yield sample("expand", (3, 1, 4, 1), shape=(3, 2, 4, 5))
    yield sample("expand", (3, 2), shape=(3, 2))
    yield sample("concat", (3, 5, 2), (3, 1, 2), (3, 2, 2), axis=1)
    yield sample("slice", (3, 7, 2), ranges=((0, 3, 2), (1, 7, 3), (0, 2, 1)))
    yield sample("gather", (3, 5, 2), axis=1, index=(0, 3, 3, 1, 0, 0))
    yield sample("gather", (4, 3), axis=0, index=(2, 0, 3, 1))
    yield sample("gather", (6,), axis=0, index=(5,))
    yield sample("pad", (3, 5, 2), padding=((0, 0), (1, 2), (0, 1)), value=-1.5)
    yield sample("pad", (3, 4), padding=((1, 0), (0, 0)), value=0.0)
    yield sample("sum", (3, 5, 2), axes=(0, 2))
    yield sample("limited", (3, 5), limit=4.0)
    yield from maps()


def maps() -> Iterator[Sample]:
    """Operators that move, join or drop neurons, on maps."""
    yield sample("limited", (1, 3, 5, 4), limit=4.0)
    yield sample("reshape", (1, 4, 5, 3), shape=(1, 2, 2, 5, 3))
    yield sample("transpose", (1, 2, 3, 5, 4), perm=(0, 2, 1, 3, 4))
    yield sample("expand", (1, 1, 5, 4), shape=(1, 3, 5, 4))
    yield sample("sum", (1, 3, 5, 4), axes=(1,))
    yield sample("concat", (1, 3, 5, 4), (1, 1, 5, 4), (1, 2, 5, 4), axis=1)
    yield sample("concat", (1, 2, 5, 3), (1, 2, 5, 1), (1, 2, 5, 4), axis=3)
    yield sample("slice", (1, 5, 9, 7), ranges=((0, 1, 1), (1, 4, 2), (1, 9, 3), (2, 6, 1)))
    yield sample("slice", (1, 2, 6), ranges=((0, 1, 1), (0, 2, 1), (0, 6, 2)))
    around = ((0, 0), (0, 0), (1, 2), (0, 3))
    yield sample("pad", (1, 2, 5, 4), padding=around, value=0.0)
    yield sample("pad", (1, 2, 5, 4), padding=around, value=-1.5)
    yield sample("gather", (1, 3, 5, 4), axis=1, index=(2, 0, 0, 1, 2, 2))
    yield sample("gather", (1, 2, 5, 4), axis=2, index=tuple(place // 3 for place in range(15)))
    yield sample("gather", (1, 2, 5), axis=2, index=tuple(place // 2 for place in range(10)))
    yield sample("constant", weights=((1, 3, 5, 4),))
    yield sample("scale", (1, 3, 5, 4), weights=((3, 1, 1),))
    yield sample("shift", (1, 3, 5, 4), weights=((1, 3, 5, 4),))
    yield sample("add", (1, 3, 5, 4), (1, 3, 5, 4))
    yield sample("subtract", (1, 3, 5, 4), (1, 3, 5, 4))


def nonlinear() -> Iterator[Sample]:
    for op in ("relu", "abs", "sigmoid", "tanh", "sin", "cos"):
        yield sample(op, (5, 8))
    yield sample("sigmoid", (40,), within=(-500.0, 500.0))
    yield sample("tanh", (40,), within=(-500.0, 500.0))
    yield sample("sin", (40,), within=(-30.0, 90.0))
    yield sample("cos", (40,), within=(-90.0, 30.0))
    yield sample("leaky_relu", (40,), slope=0.01)
    yield sample("leaky_relu", (40,), slope=1.0)
    yield sample("max", (3, 6, 2), axis=1)
    yield sample("max", (4, 1), axis=1)
    yield sample("max", (9,), axis=0)
    yield from max_pools()
    yield sample("multiply", (5, 6), (5, 6))
    yield sample("matmul", (2, 3, 4), (2, 4, 5))
    yield sample("matmul", (1, 4), (4, 1))
    yield sample("either", (5, 6), (5, 6))
    yield sample("exp", (40,), within=(-20.0, 10.0))
    yield sample("reciprocal", (40,), within=(0.01, 9.0))
    yield sample("reciprocal", (40,), within=(-9.0, -0.01))
    yield sample("sqrt", (40,), within=(0.0, 9.0))
    yield sample("log", (40,), within=(1e-4, 9.0))
    for op in ("erf", "atan", "softsign", "asinh", "gelu", "silu", "mish", "hard_swish"):
        yield sample(op, (5, 8))
        yield sample(op, (40,), within=(-300.0, 300.0))
    yield sample("gelu_tanh", (40,), factor=0.7978845608028654, cubic=0.044715)
    yield sample("softplus", (40,), within=(-60.0, 60.0))
    yield sample("elu", (40,), alpha=1.0)
    yield sample("elu", (40,), alpha=0.3)
    yield sample("tan", (40,), within=(-1.5, 1.5))
    yield sample("step", (40,), bend=-0.3, low=-1.0, tie=0.0, high=1.0)
    yield sample("step", (40,), bend=0.7, low=0.0, tie=1.0, high=1.0)
    yield sample("round", (40,), within=(-9.8, 9.8))
    yield sample("argmax", (3, 6, 2), axis=1, last=False)
    yield sample("argmax", (5,), axis=0, last=True)
    yield sample("top", (3, 6), axis=1, count=3)
    yield sample("top", (4, 2), axis=0, count=4)
    yield sample("top_places", (3, 6), axis=1, count=3)
    yield sample("top_places", (5,), axis=0, count=2)
    yield sample("softmax", (3, 5), axis=1)
    yield sample("softmax", (4, 3), axis=0, within=(-60.0, 60.0))
    yield sample("softmax", (2, 4), axis=1, keep=np.array([[1, 1, 0, 1], [0, 1, 1, 0]], bool))
    yield sample("floor", (40,), within=(0.3, 9.6))
    yield sample("floor", (40,), within=(-60.6, -0.4))
    for exponent in (1.0, 2.0, 3.0, 4.0, 5.0):
        yield sample("power", (40,), exponent=exponent)
    for exponent in (-2.0, -0.5, 0.3, 1.5):
        yield sample("power", (40,), exponent=exponent, within=(0.05, 9.0))


def max_pools() -> Iterator[Sample]:
    """Windows that overlap, that lie apart, that reach over the ends, and that skip places."""
    yield sample("max_pool", (1, 3, 7), kernel=(3,), stride=(2,), dilation=(1,), padding=((1, 1),))
    yield sample(
        "max_pool", (1, 2, 5, 6),
        kernel=(3, 2), stride=(2, 1), dilation=(1, 2), padding=((1, 0), (0, 1)),
    )  # fmt: skip
    yield sample(
        "max_pool", (2, 2, 4, 6),
        kernel=(2, 2), stride=(2, 3), dilation=(1, 1), padding=((0, 0), (0, 0)),
    )  # fmt: skip
    yield sample(
        "max_pool", (1, 1, 3, 3, 3),
        kernel=(2, 2, 2), stride=(1, 1, 1), dilation=(1, 1, 1), padding=((0, 1),) * 3,
    )  # fmt: skip


def clamps() -> Iterator[Sample]:
    """One limit for all neurons, and one for each of them."""
    for op in ("at_least", "at_most"):
        yield bent(op, torch.tensor(0.7, dtype=torch.float64))
        yield bent(op, torch.linspace(-3.5, 4.5, 8, dtype=torch.float64))


def bent(op: str, limit: Tensor) -> Sample:
    """`op` with the weight `limit`, which the attribute `bend` repeats."""
    shape = (5, 8)
    each = limit.expand(shape).clone().numpy() if limit.dim() else limit.item()
    node = Node(f"{op}_1", op, ("x0",), shape, (shape,), {"bend": each})
    return Sample(node, (limit,))


def changes() -> Iterator[Sample]:
    """Changes of functions of two pieces and of others, small ones and large ones."""
    shape = (5, 8)
    for op in ("relu", "abs", "tanh", "gelu", "sin", "softplus", "exp"):
        yield change(op, shape)
    yield change("leaky_relu", shape, slope=0.25)
    yield change("leaky_relu", shape, slope=1.0)
    yield change("elu", shape, alpha=0.3)
    for bend in (0.7, np.linspace(-3.5, 4.5, 40).reshape(shape)):
        for op in ("at_least", "at_most"):
            yield change(op, shape, bend=bend)


def change(op: str, shape: Shape, **attributes: object) -> Sample:
    of = Node(f"{op}_1", op, ("x0",), shape, (shape,), attributes)
    node = Node("change_1", "change", ("x0", "x1", "x2"), shape, (shape,) * 3, {"of": of})
    bend = attributes.get("bend")
    return Sample(node, () if bend is None else (torch.as_tensor(bend, dtype=torch.float64),))


AFFINE, NONLINEAR = tuple(affine()), (*nonlinear(), *clamps(), *changes())
SAMPLES = AFFINE + NONLINEAR


def name_of(each: Sample) -> str:
    facts = "-".join(f"{key}={words(value)}" for key, value in each.node.attributes.items())
    return f"{each.node.op}-{facts}-{each.low:g}".replace(" ", "")


def words(value: object) -> object:
    if isinstance(value, Node):
        facts = (f"{key}={words(each)}" for key, each in value.attributes.items())
        return "-".join((value.op, *facts))
    return "each" if isinstance(value, np.ndarray) else value


def alphas(each: Sample, boxes: tuple[Interval, ...], rows: int = 1) -> Iterator[Tensor]:
    """α `[D, rows, *alpha_shape]`: all 0, all 1, what CROWN uses, and at random."""
    start = each.operator.initial
    assert start is not None
    first = start(each.node, boxes).unsqueeze(1)
    first = first.expand(-1, rows, *first.shape[2:])
    yield torch.zeros_like(first)
    yield torch.ones_like(first)
    yield first
    yield torch.rand(first.shape, generator=torch.Generator().manual_seed(7), dtype=first.dtype)


def unit_rows(node: Node, dtype: torch.dtype) -> Tensor:
    """Every neuron with +1, then every neuron with −1: `[1, 2·size, *shape]`."""
    eye = torch.eye(node.size, dtype=dtype)
    return torch.cat((eye, -eye)).reshape(1, 2 * node.size, *node.shape)


def at(pulled: Pulled, values: list[Tensor]) -> Tensor:
    """`Σᵢ ⟨coefficients[i], xᵢ⟩ + bias` `[D, S]` in float64, at values `[D, *input_shape]`."""
    found = torch.zeros(1, 1, dtype=torch.float64)
    for coefficients, value in zip(pulled.coefficients, values, strict=True):
        found = found + (coefficients.double() * value.double().unsqueeze(1)).flatten(2).sum(2)
    return found if pulled.bias is None else found + pulled.bias.double()


def size_of(pulled: Pulled, values: list[Tensor]) -> Tensor:
    """The sum of the absolute values of all terms of `at`, which rounding is relative to."""
    bias = None if pulled.bias is None else pulled.bias.abs()
    return at(
        Pulled(tuple(each.abs() for each in pulled.coefficients), bias),
        [value.abs() for value in values],
    )


# What the one-by-one operators compute, from Python's own functions.
REFERENCE: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "abs": abs,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)) if x > -700 else math.exp(x),
    "tanh": math.tanh,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "reciprocal": lambda x: 1 / x,
    "sin": math.sin,
    "cos": math.cos,
    "floor": math.floor,
}
