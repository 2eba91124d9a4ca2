"""Random queries of the standard's grammar over small networks, and their meaning in exact numbers.

A term or formula is a nested tuple: `("+", a, b)`, `("<=", a, b)`, `("and", f, g)`. Its leaves are
Fractions, and variables `(tensor, flat place)`.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import product
from math import ceil, floor
from typing import Any

from boundmesh.graph.graph import Graph
from tests.attack.networks import affine

Values = Mapping[str, list[Fraction]]
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
FOLD: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}


@dataclass(frozen=True)
class Layers:
    """A network `W₂·relu(W₁·x + b₁) + b₂` of small integers, which float32 computes exactly.

    Its inputs are real, or of the ONNX type `whole`.
    """

    first: list[list[int]]
    bias: list[int]
    last: list[list[int]]
    shift: list[int]
    whole: str = ""

    @staticmethod
    def draw(rng: random.Random, inputs: int, outputs: int, whole: str = "") -> Layers:
        hidden = rng.randint(1, 3)

        def numbers(count: int) -> list[int]:
            return [rng.randint(-2, 2) for _ in range(count)]

        first, last = ([numbers(wide) for _ in range(high)] for high, wide in
                       ((hidden, inputs), (outputs, hidden)))  # fmt: skip
        return Layers(first, numbers(hidden), last, numbers(outputs), whole)

    def graph(self) -> Graph:
        return affine((self.first, self.bias), (self.last, self.shift), whole=self.whole)

    def hidden(self, x: list[Fraction]) -> list[Fraction]:
        rows = zip(self.first, self.bias, strict=True)
        return [max(Fraction(0), dot(row, x) + b) for row, b in rows]

    def outputs(self, x: list[Fraction]) -> list[Fraction]:
        rows, inner = zip(self.last, self.shift, strict=True), self.hidden(x)
        return [dot(row, inner) + b for row, b in rows]


def dot(row: list[int], x: list[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(row, x, strict=True)), Fraction(0))


@dataclass(frozen=True)
class Question:
    """A query with its networks.

    text        the file
    networks    the networks by name
    assertions  its assertions
    boxes       a finite range for each input tensor, in which `points` lie
    """

    text: str
    networks: Mapping[str, Layers]
    assertions: list[Any]
    boxes: Mapping[str, list[tuple[Fraction, Fraction]]]

    def holds(self, values: Values) -> bool:
        return all(meaning(each, values) for each in self.assertions)

    def values(self, inputs: Values) -> Values:
        """Return the inputs with the hidden values and outputs that the networks give for them."""
        found = dict(inputs)
        for name, network in self.networks.items():
            found[f"H{name}"] = network.hidden(inputs[f"X{name}"])
            found[f"Y{name}"] = network.outputs(inputs[f"X{name}"])
        return found

    def witness(self, steps: int) -> Values | None:
        """Return a point of a grid at which all assertions hold; None where there is none."""
        ranges = [
            [Fraction(k) for k in range(ceil(low), floor(high) + 1)]
            if self.networks[name[1:]].whole
            else [low + (high - low) * Fraction(k, steps) for k in range(steps + 1)]
            for name, box in self.boxes.items()
            for low, high in box
        ]
        for point in product(*ranges):
            values, start = {}, 0
            for name, box in self.boxes.items():
                values[name] = list(point[start : start + len(box)])
                start += len(box)
            if self.holds(whole := self.values(values)):
                return whole
        return None


def meaning(part: Any, values: Values) -> Any:
    """Return the value of a term or formula in exact arithmetic."""
    if isinstance(part, Fraction):
        return part
    head, *rest = part
    if isinstance(head, str) and head in values:
        return values[head][rest[0]]
    operands = [meaning(each, values) for each in rest]
    if head in COMPARE:
        return COMPARE[head](*operands)
    if head in ("and", "or"):
        return all(operands) if head == "and" else any(operands)
    if head == "-" and len(operands) == 1:
        return -operands[0]
    return reduce(FOLD[head], operands)


def written(part: Any, shapes: Mapping[str, list[int]]) -> str:
    """Write a term or formula as the standard does."""
    if isinstance(part, Fraction):
        return str(float(part))
    head, *rest = part
    if head in shapes:
        return f"{head}[{','.join(map(str, [0] * (len(shapes[head]) - 1) + rest))}]"
    return f"({head} {' '.join(written(each, shapes) for each in rest)})"


class Generator:
    """Draws questions, equal ones for equal seeds, with real inputs or ones of a `whole` type."""

    def __init__(self, seed: int, whole: str = "") -> None:
        self.rng, self.whole = random.Random(seed), whole

    def question(self) -> Question:
        rng = self.rng
        count, relation = rng.choice([(1, ""), (1, ""), (2, ""), (2, "equal-to"),
                                      (2, "isomorphic-to")])  # fmt: skip
        names = ["f", "g"][:count]
        inputs, outputs = rng.randint(1, 2), rng.randint(1, 2)
        first = Layers.draw(rng, inputs, outputs, self.whole)
        networks = {"f": first}
        if count == 2:
            other = Layers.draw(rng, inputs, outputs, self.whole)
            networks["g"] = first if relation == "equal-to" else other
        shapes: dict[str, list[int]] = {}
        lines = ["(vnnlib-version <2.0>)"]
        for name in names:
            related = f"({relation} f) " if relation and name == "g" else ""
            shapes |= {f"X{name}": [1, inputs], f"Y{name}": [1, outputs]}
            hidden = ""
            if rng.random() < 0.3:
                wide = len(networks[name].bias)
                shapes[f"H{name}"] = [1, wide]
                hidden = f' (declare-hidden H{name} real [1,{wide}] "relu1")'
            lines.append(
                f"(declare-network {name} {related}"
                f"(declare-input X{name} {self.whole or 'real'} [1,{inputs}])"
                f"{hidden} (declare-output Y{name} real [1,{outputs}]))"
            )
        cells = [(name, place) for name, (_, size) in shapes.items() for place in range(size)]
        boxes: dict[str, list[tuple[Fraction, Fraction]]] = {}
        assertions: list[Any] = []
        for name in names:
            boxes[f"X{name}"] = []
            for place in range(inputs):
                low = Fraction(rng.randint(-8, 8), 4)
                high = low + Fraction(rng.choice([0, 1, 4, 8]), 4)
                boxes[f"X{name}"].append((low, high))
                if rng.random() < 0.9:
                    assertions.append((">=", (f"X{name}", place), low))
                if rng.random() < 0.9:
                    assertions.append(("<=", (f"X{name}", place), high))
        if count == 2 and rng.random() < 0.6:
            boxes["Xg"] = boxes["Xf"]
            assertions = [each for each in assertions if each[1][0] != "Xg"]
            signs = [rng.choice(["==", "==", "<="]) for _ in range(inputs)]
            pairs = (((sign, ("Xf", i), ("Xg", i))) for i, sign in enumerate(signs))
            assertions += [(s, *rng.sample([a, b], 2)) if s == "==" else (s, a, b)
                           for s, a, b in pairs]  # fmt: skip
        assertions += [self.formula(cells, rng.randint(0, 2)) for _ in range(rng.randint(1, 3))]
        rng.shuffle(assertions)
        lines += [f"(assert {written(each, shapes)})" for each in assertions]
        return Question("\n".join(lines) + "\n", networks, assertions, boxes)

    def formula(self, cells: list[tuple[str, int]], depth: int) -> Any:
        rng = self.rng
        if depth and rng.random() < 0.8:
            parts = [self.formula(cells, depth - 1) for _ in range(rng.randint(1, 3))]
            return (rng.choice(["and", "or", "or"]), *parts)
        sign = rng.choice(["<=", "<=", "<", ">=", ">=", ">", "!=", "=="])
        if self.whole:
            # The standard compares no values of different types.
            inputs = rng.random() < 0.3
            cells = [cell for cell in cells if cell[0].startswith("X") == inputs]
        return (sign, self.term(cells, 2), self.term(cells, rng.randint(0, 1)))

    def term(self, cells: list[tuple[str, int]], depth: int) -> Any:
        rng = self.rng
        if depth and rng.random() < 0.7:
            head = rng.choice(["+", "-", "*"])
            count = rng.randint(1 if head == "-" else 2, 3 if head != "*" else 2)
            return (head, *(self.term(cells, depth - 1) for _ in range(count)))
        if rng.random() < 0.3:
            return Fraction(rng.randint(-12, 12), 4)
        return rng.choice(cells)
