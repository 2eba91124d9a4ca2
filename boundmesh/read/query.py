"""From the text of a VNN-LIB file, 1.0 or 2.0, to what it declares and asserts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, localcontext
from functools import cached_property, partial, reduce
from pathlib import Path

from boundmesh.errors import PropertyError
from boundmesh.property import Variable
from boundmesh.read.formula import (
    COMPARISONS,
    All,
    Any,
    Comparison,
    Formula,
    Linear,
    Not,
)
from boundmesh.read.sexpr import SyntaxProblem, fold

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
SCALAR = re.compile(r"([XY])_(0|[1-9]\d*)", re.ASCII)
TENSOR = re.compile(r"([A-Za-z]\w*)\s*(\[([\d\s,]*)\])?", re.ASCII)
ELEMENT_TYPES = {"Real", "float16", "float32", "float64", "bfloat16"}
IGNORED = ("set-logic", "set-info", "set-option", "check-sat", "get-model", "exit")
# Sums of float64 decimals are exact in this many digits; what would still round is refused.
EXACT = Context(prec=4000, traps=[Inexact, InvalidOperation])
COMMAND = object()


@dataclass(frozen=True)
class Query:
    """What a file declares and asserts, known without its network.

    `variables` in the file's order; for version 1.0 they are X and Y, of one dim each.
    In `assertions`, flat input i is the number i and flat output j the number −1 − j.
    """

    path: Path
    version: str
    network: str | None
    variables: tuple[Variable, ...]
    assertions: tuple[Formula, ...]

    @cached_property
    def inputs(self) -> tuple[Variable, ...]:
        return tuple(each for each in self.variables if each.role == "input")

    @cached_property
    def outputs(self) -> tuple[Variable, ...]:
        return tuple(each for each in self.variables if each.role == "output")

    def name(self, number: int) -> str:
        """What the file calls the flat input `number`, or the flat output −1 − `number`."""
        variables, flat = (self.inputs, number) if number >= 0 else (self.outputs, -1 - number)
        variable = [each for each in variables if each.offset <= flat][-1]
        flat -= variable.offset
        if self.version.startswith("1."):
            return f"{variable.name}_{flat}"
        index: list[str] = []
        for length in reversed(variable.shape):
            flat, place = divmod(flat, length)
            index.insert(0, str(place))
        return f"{variable.name}[{','.join(index)}]"


def parse(text: str, path: Path) -> Query:
    """Read a file's text; raises PropertyError with file, line and reason."""
    reader = Reader()
    try:
        with localcontext(EXACT):
            for value in fold(text, reader.reduce):
                if value is not COMMAND:
                    raise SyntaxProblem(reader.line, f"{_shown(value)} is not a command")
        version, variables = reader.declared()
    except SyntaxProblem as problem:
        raise PropertyError(f"{path}:{problem.line}: {problem.reason}") from None
    return Query(path, version, reader.network, variables, tuple(reader.assertions))


class Reader:
    """Makes values of forms, from the inside out, and keeps what the commands among them say."""

    def __init__(self) -> None:
        self.line = 1
        self.version = ""
        self.network: str | None = None
        self.tensors: dict[str, Variable] = {}
        self.scalars = {"X": 0, "Y": 0}
        self.terms: dict[str, Linear] = {}
        self.assertions: list[Formula] = []
        self.heads = {word: partial(self.compare, word) for word in COMPARISONS}
        self.heads |= {word: lambda values: COMMAND for word in IGNORED}
        self.heads |= {
            "and": lambda values: All(self.formulas("and", values)),
            "or": lambda values: Any(self.formulas("or", values)),
            "not": self.negate,
            "+": self.add,
            "-": self.subtract,
            "*": self.multiply,
            "assert": self.declare_assertion,
            "declare-const": self.declare_scalar,
            "vnnlib-version": self.declare_version,
            "declare-network": self.declare_network,
            "declare-input": partial(self.tensor, "input"),
            "declare-output": partial(self.tensor, "output"),
            "declare-hidden": self.refuse_hidden,
            "equal-to": self.refuse_networks,
            "isomorphic-to": self.refuse_networks,
        }

    def reduce(self, line: int, values: list) -> object:
        self.line = line
        head = values[0] if values else "()"
        action = self.heads.get(head) if type(head) is str else None
        if action is None:
            words = " ".join(word for word in self.heads if word not in IGNORED)
            raise self.problem(f"{_shown(head)} is not known here; known: {words}")
        return action(values[1:])

    def problem(self, reason: str) -> SyntaxProblem:
        return SyntaxProblem(self.line, reason)

    # Arithmetic

    def linear(self, value: object) -> Linear:
        if type(value) is Linear:
            return value
        if type(value) is not str:
            raise self.problem(f"expected a number or a variable, met {_shown(value)}")
        known = self.terms.get(value)
        if known is not None:
            return known
        if NUMBER.fullmatch(value):
            if not math.isfinite(float(value)):
                raise self.problem(f"{value} is beyond the range of float64")
            return Linear({}, Decimal(value))
        return self.element(value)

    def element(self, token: str) -> Linear:
        """The variable `X[0,3]`, or `Y` and `Y[]` for a tensor without dims."""
        match = TENSOR.fullmatch(token)
        tensor = self.tensors.get(match[1]) if match else None
        if match is None or tensor is None:
            raise self.problem(f"'{token}' is neither a declared variable nor a finite number")
        index = self.integers(match[3] or "")
        inside = all(place < length for place, length in zip(index, tensor.shape, strict=False))
        if len(index) != len(tensor.shape) or not inside:
            raise self.problem(f"'{token}' is no element of {tensor.name}{list(tensor.shape)}")
        flat = tensor.offset
        for place, stride in zip(index, _strides(tensor.shape), strict=True):
            flat += place * stride
        number = flat if tensor.role == "input" else -1 - flat
        self.terms[token] = Linear({number: Decimal(1)}, Decimal(0))
        return self.terms[token]

    def integers(self, text: str) -> tuple[int, ...]:
        try:
            return tuple(int(each) for each in text.split(",")) if text.strip() else ()
        except ValueError:
            raise self.problem(f"[{text}] is not a list of integers with commas") from None

    def operands(self, sign: str, values: list) -> list[Linear]:
        if not values:
            raise self.problem(f"'{sign}' needs an operand")
        return [self.linear(value) for value in values]

    def exactly(self, left: Linear, right: Linear, factor: int) -> Linear:
        try:
            return left.plus(right, Decimal(factor))
        except DecimalException:
            raise self.problem("these numbers lie too far apart to be added exactly") from None

    def add(self, values: list) -> Linear:
        return reduce(lambda a, b: self.exactly(a, b, 1), self.operands("+", values))

    def subtract(self, values: list) -> Linear:
        first, *rest = self.operands("-", values)
        if not rest:
            return first.times(Decimal(-1))
        return reduce(lambda a, b: self.exactly(a, b, -1), rest, first)

    def multiply(self, values: list) -> Linear:
        product = Linear({}, Decimal(1))
        for factor in self.operands("*", values):
            if product.terms and factor.terms:
                raise self.problem("a product of two variables is not linear")
            scaled, by = (product, factor) if product.terms else (factor, product)
            try:
                product = scaled.times(by.constant)
            except DecimalException:
                raise self.problem("this product cannot be written exactly") from None
        return product

    # Logic

    def compare(self, sign: str, values: list) -> Formula:
        if len(values) != 2:
            raise self.problem(f"'{sign}' compares 2 values, met {len(values)}")
        try:
            return COMPARISONS[sign](self.linear(values[0]), self.linear(values[1]))
        except DecimalException:
            raise self.problem("these numbers lie too far apart to be compared exactly") from None

    def formulas(self, word: str, values: list) -> tuple[Formula, ...]:
        for value in values:
            if not isinstance(value, Comparison | All | Any | Not):
                raise self.problem(f"'{word}' joins formulas, met {_shown(value)}")
        if not values:
            raise self.problem(f"'{word}' needs a formula")
        return tuple(values)

    def negate(self, values: list) -> Formula:
        if len(self.formulas("not", values)) != 1:
            raise self.problem(f"'not' takes 1 formula, met {len(values)}")
        return Not(values[0])

    def declare_assertion(self, values: list) -> object:
        if len(self.formulas("assert", values)) != 1:
            raise self.problem(f"'assert' takes 1 formula, met {len(values)}")
        self.assertions.append(values[0])
        return COMMAND

    # Declarations

    def declare_scalar(self, values: list) -> object:
        """`(declare-const X_0 Real)`, version 1.0."""
        match = SCALAR.fullmatch(values[0]) if values and type(values[0]) is str else None
        if match is None or values[1:] != ["Real"]:
            raise self.problem(
                f"expected (declare-const X_0 Real) or Y_0, met {' '.join(map(_shown, values))}"
            )
        if self.tensors or self.version not in ("", "1.0"):
            raise self.problem("'declare-const' belongs to VNN-LIB 1.0, this file declares 2.0")
        self.version = "1.0"
        if match[0] in self.terms:
            raise self.problem(f"{match[0]} is declared twice")
        role, flat = match[1], int(match[2])
        self.scalars[role] = max(self.scalars[role], flat + 1)
        self.terms[match[0]] = Linear({flat if role == "X" else -1 - flat: Decimal(1)}, Decimal(0))
        return COMMAND

    def declare_version(self, values: list) -> object:
        if self.version or len(values) != 1 or not re.fullmatch(r"<2\.\d+>", str(values[0])):
            shown = " ".join(map(_shown, values))
            raise self.problem(f"expected one (vnnlib-version <2.0>), first, met {shown}")
        self.version = values[0].strip("<>")
        return COMMAND

    def tensor(self, role: str, values: list) -> Variable:
        """`(declare-input X Real [1,10] "name")`, version 2.0; the name may be absent."""
        name, kind, *onnx_name = (str(value) for value in [*values, "", ""][: max(2, len(values))])
        match = TENSOR.fullmatch(kind)
        well = len(onnx_name) < 2 and all(each.startswith('"') for each in onnx_name)
        if match is None or match[2] is None or not well or not TENSOR.fullmatch(name):
            raise self.problem(f"expected (declare-{role} NAME TYPE [SHAPE]), met {name} {kind}")
        element_type = "Real" if match[1] == "real" else match[1]
        if element_type not in ELEMENT_TYPES:
            known = ", ".join(sorted(ELEMENT_TYPES))
            raise self.problem(f"element type '{element_type}' is not supported; known: {known}")
        if name in self.tensors or "[" in name:
            raise self.problem(f"the name {name} is taken, or none")
        shape = self.integers(match[3])
        if 0 in shape:
            raise self.problem(f"{name} has no elements")
        before = sum(each.size for each in self.tensors.values() if each.role == role)
        onnx = onnx_name[0].strip('"') if onnx_name else None
        self.tensors[name] = Variable(name, role, shape, element_type, onnx, before)
        return self.tensors[name]

    def declare_network(self, values: list) -> object:
        name, *tensors = values or [""]
        if self.network is not None:
            return self.refuse_networks(values)
        if self.version == "1.0":
            raise self.problem("'declare-network' belongs to VNN-LIB 2.0, this file declares 1.0")
        if type(name) is not str or not all(isinstance(each, Variable) for each in tensors):
            raise self.problem("expected (declare-network NAME inputs outputs)")
        roles = [each.role for each in tensors]
        if roles != sorted(roles) or set(roles) != {"input", "output"}:
            raise self.problem(f"network {name} needs inputs, then outputs, and at least one each")
        self.version, self.network = self.version or "2.0", name
        return COMMAND

    def refuse_networks(self, values: list) -> object:
        raise self.problem("several networks in one query are not supported; declare one")

    def refuse_hidden(self, values: list) -> object:
        raise self.problem("hidden nodes are not supported; assert over inputs and outputs only")

    def declared(self) -> tuple[str, tuple[Variable, ...]]:
        if self.network is not None:
            return self.version, tuple(self.tensors.values())
        if not self.terms:
            raise self.problem("no variables are declared; is this a VNN-LIB file?")
        for letter, count in self.scalars.items():
            missing = [i for i in range(count) if f"{letter}_{i}" not in self.terms]
            if missing or not count:
                raise self.problem(f"{letter}_{missing[0] if missing else 0} is not declared")
        inputs, outputs = self.scalars["X"], self.scalars["Y"]
        x = Variable("X", "input", (inputs,), "Real")
        return self.version, (x, Variable("Y", "output", (outputs,), "Real"))


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[place + 1 :]) for place in range(len(shape)))


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if value is COMMAND:
        return "a command"
    if isinstance(value, Variable):
        return f"the declaration of {value.name}"
    return "an expression" if isinstance(value, Linear) else "a formula"
