"""One ONNX operator with operands and attributes at random, as a network of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OLDEST, NEWEST = 7, 24

Shape = tuple[int, ...]
Operand = Shape | np.ndarray | None


@dataclass(frozen=True)
class Form:
    """Operands are shapes of network inputs, arrays that are constant, or None where left out.

    Inputs are drawn from `[low, high]`. Where the operator's result does not depend on the values
    of its operands, `scales` is the shape of an input that the result's sum is multiplied with.

    cast       the result is cast to real numbers
    tested     so many operands are read as truth values: where inputs are positive
    quantized  what the operator reads are the inputs, quantised to uint8
    restored   the operator is one of two that quantise and restore the input
    read       how many of the results are read (0: all)
    """

    op: str
    operands: tuple[Operand, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 0
    outputs: int = 1
    low: float = -2.0
    high: float = 2.0
    scales: Shape | None = None
    cast: bool = False
    tested: int = 0
    quantized: bool = False
    restored: bool = False
    read: int = 0

    def __str__(self) -> str:
        shown = [f"constant{list(each.shape)}{each.ravel()[:6].tolist()}"
                 if isinstance(each, np.ndarray) else each for each in self.operands]  # fmt: skip
        return f"{self.op} of opset {self.opset} on {shown} with {self.attributes}"


class Draw:
    """Random choices for one operator at one opset."""

    def __init__(self, op: str, seed: int) -> None:
        self.random = random.Random(f"{op} {seed}")
        self.numbers = np.random.default_rng(self.random.getrandbits(32))
        self.opset = self.random.choice(opsets(op))
        self._schema = onnx.defs.get_schema(op, max_inclusive_version=self.opset)

    def has(self, attribute: str) -> bool:
        """Whether the operator has the attribute at this opset."""
        return attribute in self._schema.attributes

    @property
    def since(self) -> int:
        """The opset that the operator was last changed in."""
        return self._schema.since_version

    def chance(self, share: float = 0.5) -> bool:
        return self.random.random() < share

    def pick(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def whole(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def wholes(self, count: int, low: int, high: int) -> list[int]:
        return [self.whole(low, high) for _ in range(count)]

    def shape(self, least: int = 1, most: int = 4, longest: int = 4) -> Shape:
        return tuple(self.wholes(self.whole(least, most), 1, longest))

    def axis(self, rank: int) -> int:
        """An axis counted from the front or from the end."""
        return self.whole(-rank, rank - 1)

    def axes(self, rank: int) -> list[int]:
        """Different axes, at least one, each counted from either end."""
        chosen = self.random.sample(range(rank), self.whole(1, rank))
        return [axis - rank if self.chance(0.3) else axis for axis in chosen]

    def real(self, *shape: int, low: float = -1.5, high: float = 1.5) -> np.ndarray:
        return self.numbers.uniform(low, high, shape).astype(np.float32)

    def broadcast(self, count: int) -> list[Shape]:
        """Shapes that broadcast with each other."""
        full = self.shape(1, 4)
        found = []
        for _ in range(count):
            part = full[self.whole(0, len(full) - 1) :] if self.chance(0.3) else full
            found.append(tuple(1 if self.chance(0.25) else length for length in part))
        return found

    def given(self, shapes: list[Shape], constant: float = 0.4, **bounds: float) -> list[Operand]:
        """Each shape as an input or a constant of it; one at least is an input."""
        kept = self.whole(0, len(shapes) - 1)
        return [
            self.real(*shape, **bounds) if self.chance(constant) and place != kept else shape
            for place, shape in enumerate(shapes)
        ]

    def setting(
        self, name: str, value: list[int], operands: list[Operand], attributes: dict[str, Any]
    ) -> None:
        """A setting that is an attribute in older opsets and the next operand in newer ones."""
        if self.has(name):
            attributes[name] = value
        else:
            operands.append(np.asarray(value, np.int64))

    def maybe(self, attributes: dict[str, Any], name: str, value: Any, share: float = 0.5) -> None:
        """The attribute, where the opset has it, with some chance."""
        if self.has(name) and self.chance(share):
            attributes[name] = value


def opsets(op: str) -> list[int]:
    """The opsets that have the operator, and do not call it deprecated."""
    found = []
    for opset in range(OLDEST, NEWEST + 1):
        try:
            schema = onnx.defs.get_schema(op, max_inclusive_version=opset)
        except onnx.defs.SchemaError:
            continue
        if not schema.deprecated:
            found.append(opset)
    return found


Generator = Callable[[Draw], Form]

GENERATORS: dict[str, Generator] = {}
"""What makes a random form of each ONNX operator."""


def generates(*ops: str) -> Callable[[Callable[[Draw, str], Form]], Callable[[Draw, str], Form]]:
    """Enter a generator, called with the choices and the operator, under each of `ops`."""

    def drawn_for(op: str, generator: Callable[[Draw, str], Form]) -> Callable[[Draw], Form]:
        return lambda draw: generator(draw, op)

    def enter(generator: Callable[[Draw, str], Form]) -> Callable[[Draw, str], Form]:
        for op in ops:
            assert op not in GENERATORS, op
            GENERATORS[op] = drawn_for(op, generator)
        return generator

    return enter


def form_of(op: str, seed: int) -> Form:
    """The operator's form number `seed`."""
    draw = Draw(op, seed)
    return replace(GENERATORS[op](draw), opset=draw.opset)


def before(
    form: Form, inputs: dict[str, Shape]
) -> tuple[list[onnx.NodeProto], dict[str, str], dict[str, np.ndarray]]:
    """What turns inputs into truth values or whole numbers, and the names of these."""
    nodes: list[onnx.NodeProto] = []
    renamed: dict[str, str] = {}
    constants: dict[str, np.ndarray] = {}
    if form.tested:
        constants["zero"] = np.zeros((), np.float32)
    if form.quantized:
        constants |= {"step": np.array(0.05, np.float32), "point": np.array(120, np.uint8)}
    tested = [f"in{place}" for place in range(form.tested)]
    for name in inputs if form.tested or form.quantized else ():
        if form.tested and name not in tested:
            continue
        renamed[name] = f"{name}_made"
        if form.tested:
            nodes.append(helper.make_node("Greater", [name, "zero"], [renamed[name]]))
        else:
            settings = [name, "step", "point"]
            nodes.append(helper.make_node("QuantizeLinear", settings, [renamed[name]]))
    return nodes, renamed, constants


def network(form: Form) -> bytes:
    """The form as an ONNX file."""
    names = ["" if each is None else f"in{place}" for place, each in enumerate(form.operands)]
    while names and not names[-1]:
        names.pop()
    outputs = [f"out{place}" for place in range(form.outputs)]
    pairs = list(zip(names, form.operands, strict=False))
    inputs = {name: each for name, each in pairs if isinstance(each, tuple)}
    constants = {name: each for name, each in pairs if isinstance(each, np.ndarray)}
    nodes, renamed, more = before(form, inputs)
    constants.update(more)
    read = [renamed.get(name, name) for name in names]
    nodes.append(helper.make_node(form.op, read, outputs, **form.attributes))
    if form.restored:
        settings = ["real", *names[1:]]
        pair = ("QuantizeLinear", "DequantizeLinear")
        nodes = [helper.make_node(pair[0], names, ["real"], **form.attributes),
                 helper.make_node(pair[1], settings, outputs, **form.attributes)]  # fmt: skip
    outputs = outputs[: form.read or None]
    if form.scales is not None:
        inputs["x"] = form.scales
        nodes += [
            helper.make_node("Cast", outputs, ["real"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMax", ["real"], ["most"], keepdims=0),
            helper.make_node("Mul", ["x", "most"], ["scaled"]),
        ]
        outputs = ["scaled"]
    elif form.cast or form.op in ("Cast", "CastLike"):
        nodes.append(helper.make_node("Cast", outputs, ["real"], to=TensorProto.FLOAT))
        outputs = ["real"]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "form",
        [info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = [helper.make_opsetid("", form.opset)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
