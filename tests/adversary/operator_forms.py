"""Graphs of one operator with random attributes, weights and boxes, and the exact values of each.

Operators are boundmesh's own (`boundmesh.operators.RULES`); their meaning is written down here once
more, in the arithmetic of `exact`, from what their rules promise to compute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

import boundmesh
from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators.node import Node
from tests.adversary import exact
from tests.adversary.containment import Leak, leak
from tests.adversary.exact import DOUBT, FUNCTIONS, Exact
from tests.adversary.network import Value, behind, moved
from tests.adversary.rational import Rational
from tests.adversary.windows import convolve

# Sizes of numbers that boxes lie around, and their widths.
CENTERS = (0.0, 0.0, 1e-30, 1e-6, 0.5, 1.0, 3.0, 30.0, 1e3, 1e6)
WIDTHS = (0.0, 1e-7, 1e-3, 0.1, 1.0, 1.0, 10.0, 1e3)
POINTS = 12


@dataclass(frozen=True)
class Form:
    """One operator: shapes of its inputs, attributes, weights, and the inputs' ranges."""

    op: str
    shapes: tuple[tuple[int, ...], ...]
    attributes: dict[str, Any]
    weights: tuple[np.ndarray, ...] = ()
    domain: tuple[float, float] = (-np.inf, np.inf)
    shape: tuple[int, ...] | None = None
    """The result's shape where the operator needs it."""


Rng = np.random.Generator


def numbers(rng: Rng, *shape: int) -> np.ndarray:
    """Float32 numbers of magnitudes 10^−3 … 10^3, or between −2 and 2."""
    if rng.random() < 0.5:
        return rng.uniform(-2, 2, shape).astype(np.float32)
    size = 10 ** rng.uniform(-3, 3, shape)
    return (size * rng.choice([-1.0, 1.0], shape)).astype(np.float32)


def some_shape(rng: Rng, least: int = 1) -> tuple[int, ...]:
    return tuple(int(each) for each in rng.integers(least, 4, int(rng.integers(1, 4))))


def elementwise(op: str, low: float = -np.inf, high: float = np.inf) -> Callable[[Rng], Form]:
    return lambda rng: Form(op, (some_shape(rng),), {}, domain=(low, high))


def pair(op: str) -> Callable[[Rng], Form]:
    def make(rng: Rng) -> Form:
        shape = some_shape(rng)
        return Form(op, (shape, shape), {})

    return make


def with_constant(op: str) -> Callable[[Rng], Form]:
    def make(rng: Rng) -> Form:
        shape = some_shape(rng)
        held = () if rng.random() < 0.2 else shape[-1:] if rng.random() < 0.5 else shape
        return Form(op, (shape,), {}, (numbers(rng, *held),), shape=shape)

    return make


def limit(op: str) -> Callable[[Rng], Form]:
    """A constant that is held as a weight and, written out, as the attribute `bend`."""
    with_weight = with_constant(op)

    def make(rng: Rng) -> Form:
        form = with_weight(rng)
        (held,) = form.weights
        bend = np.broadcast_to(np.asarray(held, dtype=np.float64), form.shape).copy()
        return replace(form, attributes={"bend": bend})

    return make


def linear(rng: Rng) -> Form:
    wide, out = (int(each) for each in rng.integers(1, 13, 2))
    weights = (numbers(rng, out, wide), numbers(rng, out))[: int(rng.integers(1, 3))]
    return Form("linear", ((1, wide),), {}, weights)


def conv(rng: Rng) -> Form:
    rank, groups = int(rng.integers(1, 3)), int(rng.choice([1, 1, 2]))
    wide, out = groups * int(rng.integers(1, 3)), groups * int(rng.integers(1, 3))
    spatial = tuple(int(each) for each in rng.integers(3, 6, rank))
    kernel = tuple(int(each) for each in rng.integers(1, 3, rank))
    attributes = {
        "stride": tuple(int(each) for each in rng.integers(1, 3, rank)),
        "dilation": tuple(int(each) for each in rng.integers(1, 3, rank)),
        "padding": tuple((int(a), int(b)) for a, b in rng.integers(0, 2, (rank, 2))),
        "groups": groups,
    }
    weights = (numbers(rng, out, wide // groups, *kernel), numbers(rng, out))
    return Form("conv", ((1, wide, *spatial),), attributes, weights[: int(rng.integers(1, 3))])


def conv_transpose(rng: Rng) -> Form:
    wide, out, size, kernel = (int(each) for each in rng.integers(1, 4, 4))
    stride = int(rng.integers(1, 3))
    attributes = {
        "stride": (stride,),
        "dilation": (1,),
        "padding": ((0, 0),),
        "output_padding": (int(rng.integers(0, stride)),),
        "groups": 1,
    }
    weights = (numbers(rng, wide, out, kernel), numbers(rng, out))
    return Form("conv_transpose", ((1, wide, size),), attributes, weights)


def matmul(rng: Rng) -> Form:
    m, k, n = (int(each) for each in rng.integers(1, 4, 3))
    return Form("matmul", ((1, m, k), (1, k, n)), {})


def power(rng: Rng) -> Form:
    exponent = float(rng.choice([2.0, 3.0, 4.0, 5.0, 0.5, -0.5, -1.0, 1.5]))
    whole = exponent == int(exponent) and exponent > 0
    domain = (-1e4, 1e4) if whole else (1e-6, 1e6)
    return Form("power", (some_shape(rng),), {"exponent": exponent}, domain=domain)


def leaky(rng: Rng) -> Form:
    slope = float(rng.choice([0.0, 0.01, 0.1, 0.3, 0.5, 1.0, float(np.float32(0.01))]))
    return Form("leaky_relu", (some_shape(rng),), {"slope": slope})


def over_axes(rng: Rng) -> Form:
    shape = some_shape(rng)
    axes = rng.permutation(len(shape))[: int(rng.integers(1, len(shape) + 1))]
    return Form("sum", (shape,), {"axes": tuple(sorted(int(axis) for axis in axes))})


def over_axis(rng: Rng) -> Form:
    shape = some_shape(rng)
    return Form("max", (shape,), {"axis": int(rng.integers(len(shape)))})


def max_pool(rng: Rng) -> Form:
    length, kernel, stride, dilation = (
        int(each) for each in rng.integers([4, 2, 1, 1], [8, 4, 4, 3])
    )
    before, after = (int(each) for each in rng.integers(0, 2, 2))
    given = {"kernel": (kernel,), "stride": (stride,), "dilation": (dilation,)}
    return Form(
        "max_pool", ((1, 2, length),), {**given, "padding": ((before, min(after, kernel - 1)),)}
    )


def windows_of(form: Form) -> Callable[[np.ndarray], np.ndarray]:
    """How the elements of the windows of a pool over one axis stand one after the other.

    Of an element of the padding another one of its window takes the place.
    """
    ((kernel,), (stride,), (dilation,)) = (
        form.attributes[name] for name in ("kernel", "stride", "dilation")
    )
    ((before, after),) = form.attributes["padding"]
    length = form.shapes[0][2]
    rows = []
    for first in range(-before, length + after - dilation * (kernel - 1), stride):
        here = [place for place in range(first, first + dilation * kernel, dilation)]
        inside = [place for place in here if 0 <= place < length]
        rows.append([place if place in inside else inside[0] for place in here])
    return lambda places: places[..., np.array(rows)]


def elu(rng: Rng) -> Form:
    alpha = float(rng.choice([0.0, 0.1, 0.3, 1.0]))
    return Form("elu", (some_shape(rng),), {"alpha": alpha}, domain=(-600.0, 600.0))


def gelu_tanh(rng: Rng) -> Form:
    given = {"factor": 0.7978845608028654, "cubic": float(rng.choice([0.044715, 0.0, 0.1]))}
    return Form("gelu_tanh", (some_shape(rng),), given, domain=(-12.0, 12.0))


def step(rng: Rng) -> Form:
    low, tie, high = sorted(float(each) for each in rng.choice([-1.0, 0.0, 0.5, 1.0], 3))
    bend = float(rng.choice([0.0, -0.3, 0.7]))
    given = {"bend": bend, "low": low, "tie": tie, "high": high}
    return Form("step", (some_shape(rng),), given)


def either(rng: Rng) -> Form:
    return Form("either", (some_shape(rng),), {})


def change(rng: Rng) -> Form:
    """The change of a relu."""
    shape = some_shape(rng)
    return Form("change", (shape, shape), {"of": Node("f", "relu", ("z",), shape, (shape,))})


def argmax(rng: Rng) -> Form:
    shape = some_shape(rng)
    given = {"axis": int(rng.integers(len(shape))), "last": bool(rng.integers(2))}
    return Form("argmax", (shape,), given)


def top(rng: Rng) -> Form:
    shape = some_shape(rng)
    axis = int(rng.integers(len(shape)))
    return Form("top", (shape,), {"axis": axis, "count": int(rng.integers(1, shape[axis] + 1))})


def softmax(rng: Rng) -> Form:
    shape = some_shape(rng)
    return Form("softmax", (shape,), {"axis": int(rng.integers(len(shape)))}, domain=(-90.0, 90.0))


def limited(rng: Rng) -> Form:
    return Form("limited", (some_shape(rng),), {"limit": 50.0}, domain=(-50.0, 50.0))


def reshape(rng: Rng) -> Form:
    shape = some_shape(rng)
    return Form("reshape", (shape,), {}, shape=(int(np.prod(shape)), 1))


def transpose(rng: Rng) -> Form:
    shape = some_shape(rng)
    return Form("transpose", (shape,), {"perm": tuple(map(int, rng.permutation(len(shape))))})


def expand(rng: Rng) -> Form:
    shape = some_shape(rng)
    return Form("expand", ((*shape, 1),), {}, shape=(*shape, int(rng.integers(1, 4))))


def cut(rng: Rng) -> Form:
    shape = some_shape(rng, 2)
    ranges = tuple((int(rng.integers(0, 2)), size, int(rng.integers(1, 3))) for size in shape)
    return Form("slice", (shape,), {"ranges": ranges})


def gather(rng: Rng) -> Form:
    shape = some_shape(rng)
    axis = int(rng.integers(len(shape)))
    index = tuple(map(int, rng.integers(0, shape[axis], int(rng.integers(1, 5)))))
    return Form("gather", (shape,), {"axis": axis, "index": index})


def concat(rng: Rng) -> Form:
    shape = some_shape(rng)
    return Form("concat", (shape, shape), {"axis": int(rng.integers(len(shape)))})


def pad(rng: Rng) -> Form:
    shape = some_shape(rng)
    ends = tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (len(shape), 2)))
    return Form("pad", (shape,), {"padding": ends, "value": float(rng.choice([0.0, -1.5, 0.1]))})


def constant(rng: Rng) -> Form:
    return Form("constant", (), {}, (numbers(rng, *some_shape(rng)),))


FORMS: dict[str, Callable[[Rng], Form]] = {
    "constant": constant,
    "scale": with_constant("scale"),
    "shift": with_constant("shift"),
    "at_least": limit("at_least"),
    "at_most": limit("at_most"),
    "add": pair("add"),
    "subtract": pair("subtract"),
    "multiply": pair("multiply"),
    "matmul": matmul,
    "linear": linear,
    "conv": conv,
    "conv_transpose": conv_transpose,
    "relu": elementwise("relu"),
    "abs": elementwise("abs"),
    "leaky_relu": leaky,
    "sigmoid": elementwise("sigmoid", -600.0, 600.0),
    "tanh": elementwise("tanh", -600.0, 600.0),
    "exp": elementwise("exp", -600.0, 80.0),
    "log": elementwise("log", 1e-30, np.inf),
    "sqrt": elementwise("sqrt", 0.0, np.inf),
    "reciprocal": elementwise("reciprocal", 1e-6, np.inf),
    "sin": elementwise("sin"),
    "cos": elementwise("cos"),
    "floor": elementwise("floor"),
    "round": elementwise("round"),
    "erf": elementwise("erf", -25.0, 25.0),
    "tan": elementwise("tan", -1.5, 1.5),
    "atan": elementwise("atan"),
    "asinh": elementwise("asinh"),
    "softsign": elementwise("softsign"),
    "softplus": elementwise("softplus", -600.0, 600.0),
    "gelu": elementwise("gelu", -25.0, 25.0),
    "silu": elementwise("silu", -600.0, 600.0),
    "mish": elementwise("mish", -300.0, 300.0),
    "hard_swish": elementwise("hard_swish"),
    "elu": elu,
    "gelu_tanh": gelu_tanh,
    "step": step,
    "either": either,
    "change": change,
    "argmax": argmax,
    "top": top,
    "top_places": lambda rng: replace(top(rng), op="top_places"),
    "softmax": softmax,
    "limited": limited,
    "power": power,
    "sum": over_axes,
    "max": over_axis,
    "max_pool": max_pool,
    "reshape": reshape,
    "transpose": transpose,
    "expand": expand,
    "slice": cut,
    "gather": gather,
    "concat": concat,
    "pad": pad,
}


def moves(form: Form) -> Callable[[np.ndarray], np.ndarray] | None:
    """How an operator that only moves elements moves their numbers (−1: nothing)."""
    given = form.attributes
    table: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "reshape": lambda p: p.reshape(form.shape),
        "transpose": lambda p: p.transpose(given["perm"]),
        "expand": lambda p: np.broadcast_to(p, form.shape),
        "slice": lambda p: p[tuple(slice(*each) for each in given["ranges"])],
        "gather": lambda p: np.take(p, given["index"], axis=given["axis"]),
        "pad": lambda p: np.pad(p, given["padding"], constant_values=-1),
    }
    return table.get(form.op)


def evaluate(form: Form, how: Exact, inputs: list[Value]) -> Value:
    """The exact values of a form's result at inputs `[K, *shape]`."""
    held = [how.constant(weight) for weight in form.weights]
    if (move := moves(form)) is not None:
        found = moved(how, inputs[0], move)
        if form.op != "pad":
            return found
        inside = np.pad(np.ones(form.shapes[0], dtype=bool), form.attributes["padding"])
        return how.add(found, how.constant(np.where(inside, 0.0, form.attributes["value"])))
    if form.op in ("linear", "matmul", "conv", "conv_transpose"):
        return product(form, how, inputs, held)
    if form.op in FUNCTIONS:
        return how.function(form.op, inputs[0])
    return simple(form, how, inputs, held)


def simple(form: Form, how: Exact, inputs: list[Value], held: list[Value]) -> Value:
    given, zero = form.attributes, how.constant(np.zeros(1, dtype=np.float32))
    x = inputs[0] if inputs else held[0]
    if held and inputs:
        held = [w.reshape(1, *(1,) * (len(x.shape) - len(w.shape)), *w.shape[1:]) for w in held]
    zero = zero.reshape(1, *(1,) * (len(x.shape) - 1))
    table: dict[str, Callable[[], Value]] = {
        "constant": lambda: x,
        "scale": lambda: how.multiply(x, held[0]),
        "shift": lambda: how.add(x, held[0]),
        "at_least": lambda: how.maximum(x, held[0]),
        "at_most": lambda: how.minimum(x, held[0]),
        "add": lambda: how.add(*inputs),
        "subtract": lambda: how.subtract(*inputs),
        "multiply": lambda: how.multiply(*inputs),
        "relu": lambda: how.maximum(x, zero),
        "abs": lambda: how.maximum(x, how.negate(x)),
        "leaky_relu": lambda: how.where_negative(
            x, how.constant(np.float64(given["slope"])).reshape(*zero.shape)
        ),
        "floor": lambda: how.steps("floor", x),
        "round": lambda: how.steps("round", x),
        "limited": lambda: x,
        "either": lambda: x,
        "change": lambda: how.subtract(how.maximum(how.add(*inputs), zero), how.maximum(x, zero)),
        "elu": lambda: how.function_of(exact.elu(given["alpha"]), x),
        "gelu_tanh": lambda: how.function_of(exact.gelu_tanh(given["factor"], given["cubic"]), x),
        "step": lambda: how.exactly(step_of(given), x),
        "argmax": lambda: how.along(place_of(given["last"]), x, given["axis"] + 1),
        "top": lambda: how.along(
            lambda row: sorted(row, reverse=True)[: given["count"]], x, given["axis"] + 1
        ),
        "top_places": lambda: how.along(
            lambda row: sorted(range(len(row)), key=lambda i: -row[i])[: given["count"]],
            x,
            given["axis"] + 1,
        ),
        "softmax": lambda: how.softmax(x, given["axis"] + 1),
        "power": lambda: how.power(x, given["exponent"]),
        "sum": lambda: how.total(behind(how, x, given["axes"])),
        "max": lambda: how.largest(behind(how, x, (given["axis"],))),
        "max_pool": lambda: how.largest(moved(how, x, windows_of(form))),
        "concat": lambda: how.join(inputs, given["axis"] + 1),
    }
    return table[form.op]()


def step_of(given: dict[str, Any]) -> Callable[[Fraction], Fraction]:
    """The function that is `low` before `bend`, `tie` at it and `high` after it."""
    low, tie, high, bend = (Fraction(given[name]) for name in ("low", "tie", "high", "bend"))
    return lambda x: low if x < bend else high if x > bend else tie


def place_of(last: bool) -> Callable[[list[Fraction]], list[int]]:
    """The place of the largest element: of equal ones the first, or the last."""

    def place(row: list[Fraction]) -> list[int]:
        top = max(row)
        return [len(row) - 1 - row[::-1].index(top) if last else row.index(top)]

    return place


def product(form: Form, how: Exact, inputs: list[Value], held: list[Value]) -> Value:
    x, given = inputs[0], form.attributes
    if form.op == "matmul":
        y = moved(how, inputs[1], lambda places: places.swapaxes(-1, -2))
        x = x.reshape(*x.shape[:-1], 1, x.shape[-1])
        return how.dot(x, y.reshape(*y.shape[:-2], 1, *y.shape[-2:]))
    bias = held[1] if len(held) > 1 else None
    if form.op == "linear":
        weight = held[0].reshape(1, 1, *held[0].shape[1:])
        wide = x.reshape(*x.shape[:-1], 1, x.shape[-1])
        return how.dot(wide, weight, bias.reshape(1, 1, -1) if bias is not None else None)
    if form.op == "conv":
        begin, end = zip(*given["padding"], strict=True)
        words = {"strides": given["stride"], "dilations": given["dilation"]}
        words |= {"pads": (*begin, *end), "group": given["groups"]}
        return convolve(how, x, held[0], bias, words)
    return spread(form, how, x, held)


def spread(form: Form, how: Exact, x: Value, held: list[Value]) -> Value:
    """A transposed convolution over one axis: each input is laid over `kernel` outputs."""
    (stride,), (extra,) = form.attributes["stride"], form.attributes["output_padding"]
    _, wide, size = form.shapes[0]
    _, out, kernel = form.weights[0].shape
    length = (size - 1) * stride + kernel + extra
    matrix = np.zeros((out, length, wide, size))
    for place in range(size):
        for tap in range(kernel):
            matrix[:, place * stride + tap, :, place] += form.weights[0][:, :, tap].T
    rows = how.constant(matrix.reshape(out * length, wide * size)).reshape(
        1, out * length, wide * size
    )
    bias = how.constant(np.repeat(form.weights[1], length))
    found = how.dot(x.reshape(x.shape[0], 1, wide * size), rows, bias)
    return found.reshape(found.shape[0], 1, out, length)


def ends(rng: Rng, form: Form, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A random box in float32 numbers: tiny, huge, a point, touching zero or the domain's end."""
    center = rng.choice(CENTERS, size) * rng.uniform(-1.5, 1.5, size)
    width = rng.choice(WIDTHS, size) * rng.random(size)
    if rng.random() < 0.3:
        width *= np.maximum(np.abs(center), 1e-9)
    low, high = center - width, center + width * rng.random(size)
    kind = rng.integers(0, 8, size)
    low, high = np.where(kind == 0, 0, low), np.where(kind == 1, 0, high)
    low, high = np.minimum(low, high), np.maximum(low, high)
    least, most = form.domain
    if least >= 0:
        low, high = np.abs(low), np.abs(high)
        low, high = np.minimum(low, high), np.maximum(low, high)
        low = np.where(kind == 2, least, low)
    low, high = np.clip(low, least, most), np.clip(high, least, most)
    if rng.random() < 0.7:
        low, high = low.astype(np.float32), high.astype(np.float32)
        low = np.where(low < least, np.nextafter(low, np.float32(np.inf)), low)
    return low.astype(np.float64), np.maximum(low, high).astype(np.float64)


# The last input of some operators is no input of a form, but computed from the others.
LAST: dict[str, Callable[[Builder, list[Node]], Node]] = {
    "either": lambda build, parts: parts[0],
    "change": lambda build, parts: build.add("add", *parts),
}


def graph_of(form: Form) -> Graph:
    """A graph with one flat input, cut into the operator's inputs."""
    build = Builder()
    size = sum(int(np.prod(shape)) for shape in form.shapes) or 1
    entry = build.input((size,))
    parts, start = [], 0
    for shape in form.shapes:
        count = int(np.prod(shape))
        part = entry
        if count != size:
            part = build.add("slice", entry, ranges=((start, start + count, 1),))
        parts.append(build.reshape(part, shape))
        start += count
    if form.op in LAST:
        parts.append(LAST[form.op](build, parts))
    last = build.add(form.op, *parts, weights=form.weights, shape=form.shape, **form.attributes)
    port = Port(entry.name, entry.shape)
    return build.graph(last, (port,), (Port(last.name, last.shape),))


def points_of(rng: Rng, low: np.ndarray, high: np.ndarray) -> list[tuple[Fraction, ...]]:
    """The ends, the middle, zeros, whole numbers, random points, and neighbours of the ends."""
    share = rng.random((POINTS, len(low)))
    share[: POINTS // 3] = share[: POINTS // 3].round()
    found = [low, high, (low + high) / 2, np.clip(0.0, low, high), np.clip(np.ceil(low), low, high)]
    found += [np.nextafter(low, np.inf), np.nextafter(high, -np.inf), *(low + share * (high - low))]
    return [tuple(map(Fraction, np.clip(each, low, high).tolist())) for each in found]


def evaluated(form: Form, points: list[tuple[Fraction, ...]]) -> tuple[np.ndarray, Fraction]:
    """The exact flat results `[K, size]` at flat inputs, and their relative doubt; K = 1 for a
    constant."""
    x, start, inputs, how = Rational.of(np.array(points, dtype=object)), 0, [], Exact()
    for shape in form.shapes:
        count = int(np.prod(shape))
        inputs.append(x[:, start : start + count].reshape(len(points), *shape))
        start += count
    found = evaluate(form, how, inputs)
    values = found.reshape(found.shape[0], -1).fractions()
    return values, DOUBT if how.rounded else Fraction(0)


def form_leaks(
    seed: int, op: str, methods: tuple[str, ...], dtypes: tuple[str, ...], mode: str = "real"
) -> list[Leak]:
    """What the bounds of one random form of an operator fail to hold, in exact arithmetic."""
    rng = np.random.default_rng([seed, *op.encode()])
    form = FORMS[op](rng)
    graph = graph_of(form)
    low, high = ends(rng, form, graph[graph.input].size)
    points = points_of(rng, low, high)
    values, doubt = evaluated(form, points)
    points = points[: len(values)]
    seen = []
    for method in methods:
        for dtype in dtypes:
            bound = boundmesh.bounds(
                graph,
                boundmesh.Box(low, high),
                method=method,
                dtype=dtype,
                device="cpu",
                threads=1,
                iterations=4,
                rounding=mode,
            )
            if bound.lower.size != values.shape[1]:
                raise AssertionError(f"{op}: {bound.lower.size} bounds of {values.shape[1]} values")
            if (out := leak(bound.lower, bound.upper, points, values, doubt)) is not None:
                seen.append(Leak(f"{op} {seed} {form.attributes}", method, dtype, "real", *out))
    return seen
