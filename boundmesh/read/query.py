"""Parses the text of a VNN-LIB file, 1.0 or 2.0, into its declarations and assertions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path

from boundmesh.errors import PropertyError
from boundmesh.property import Variable
from boundmesh.rational import Exact
from boundmesh.read.declarations import Declarations, Network, shown
from boundmesh.read.formula import (
    COMPARISONS,
    All,
    Any,
    Comparison,
    Formula,
    Key,
    Linear,
    Not,
    of_product,
)
from boundmesh.read.sexpr import fold

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# Commands of SMT-LIB that do not change the property.
IDLE = ("set-logic", "set-info", "set-option", "check-sat", "get-model", "exit")
# Numbers are exact, however long. One with more digits than this would only fill the memory.
DIGITS = 4000
SMALLEST = Decimal((0, (1,), -2 * DIGITS))
# The value of an empty form. Only declare-fun may contain one.
NOTHING = ()


@dataclass(frozen=True)
class Query:
    """The declarations and assertions of a file, without its network.

    path        the file
    version     `1` or `2`
    networks    the networks that it declares; version 1.0 declares none
    variables   the declared tensors, in the file's order; for version 1.0 they are X and Y, with
                one dim each
    assertions  the formulas; flat input i is the number i and flat output j the number −1 − j,
                counted over all networks, and product k is the number `of_product(k)`
    products    the factors of each product of variables
    """

    path: Path
    version: str
    """`1` or `2`."""
    networks: tuple[Network, ...]
    variables: tuple[Variable, ...]
    assertions: tuple[Formula, ...]
    products: tuple[tuple[Linear, Linear], ...] = ()

    @cached_property
    def inputs(self) -> tuple[Variable, ...]:
        return tuple(each for each in self.variables if each.role == "input")

    @cached_property
    def outputs(self) -> tuple[Variable, ...]:
        """The outputs and hidden values."""
        return tuple(each for each in self.variables if each.role != "input")

    @property
    def network(self) -> str | None:
        """The name of the first network; None in version 1.0."""
        return self.networks[0].name if self.networks else None

    def name(self, number: int) -> str:
        """Return the file's name of the variable with this number."""
        variables, flat = (self.inputs, number) if number >= 0 else (self.outputs, -1 - number)
        variable = [each for each in variables if each.offset <= flat][-1]
        flat -= variable.offset
        index: list[str] = []
        for length in reversed(variable.shape):
            flat, place = divmod(flat, length)
            index.insert(0, str(place))
        if self.version == "1":
            return "_".join([variable.name, *index])
        return f"{variable.name}[{','.join(index)}]"


def parse(text: str, path: Path) -> Query:
    """Parse a file's text; raise PropertyError with file, line and reason where that fails."""
    reader = Reader()
    for value in fold(text, str(path), reader.reduce):
        if value is not None:
            raise PropertyError(f"{path}: {shown(value)} is not a command; expected (assert …)")
    declared = reader.declarations
    try:
        variables = declared.variables()
    except PropertyError as error:
        raise PropertyError(f"{path}: {error}") from None
    networks, assertions = tuple(declared.networks.values()), tuple(reader.assertions)
    return Query(path, declared.version, networks, variables, assertions, tuple(reader.products))


class Reader:
    """Makes a value of each form: Linear, Formula, Variable, or None for a command."""

    def __init__(self) -> None:
        self.declarations = declared = Declarations()
        self.assertions: list[Formula] = []
        self.known: dict[str, Linear] = {}
        self.products: list[tuple[Linear, Linear]] = []
        self.places: dict[tuple[Key, Key], int] = {}
        self.heads: dict[str, Callable[[list[object]], object]] = {
            "and": lambda parts: All(self.formulas("and", parts)),
            "or": lambda parts: Any(self.formulas("or", parts)),
            "not": lambda parts: Not(self.one_formula("not", parts)),
            "=>": self.imply,
            "+": self.add,
            "-": self.subtract,
            "*": self.multiply,
            "/": self.divide,
            "assert": self.assert_formula,
            "declare-const": declared.declare_scalar,
            "declare-fun": declared.declare_function,
            "vnnlib-version": declared.declare_version,
            "declare-network": declared.declare_network,
            "declare-input": partial(declared.tensor, "input"),
            "declare-output": partial(declared.tensor, "output"),
            "declare-hidden": partial(declared.tensor, "hidden"),
            "equal-to": partial(declared.relate, "equal-to"),
            "isomorphic-to": partial(declared.relate, "isomorphic-to"),
        }
        for word in COMPARISONS:
            self.heads[word] = partial(self.compare, word)

    def reduce(self, parts: list[object]) -> object:
        if not parts:
            return NOTHING
        head = parts[0]
        if isinstance(head, str) and head in IDLE:
            return None
        action = self.heads.get(head) if isinstance(head, str) else None
        if NOTHING in parts and head != "declare-fun":
            action, head = None, NOTHING
        if action is None:
            raise PropertyError(f"{shown(head)} begins no form; known: {' '.join(self.heads)}")
        return action(parts[1:])

    def linear(self, part: object) -> Linear:
        """Read a part of an arithmetic form: a form itself, a number or a variable."""
        if isinstance(part, Linear):
            return part
        if not isinstance(part, str):
            raise PropertyError(f"expected a number or a variable, met {shown(part)}")
        if part in self.known:
            return self.known[part]
        if NUMBER.fullmatch(part):
            return Linear({}, number(part))
        self.known[part] = Linear({self.declarations.number(part): 1}, 0)
        return self.known[part]

    def operands(self, sign: str, parts: list[object]) -> list[Linear]:
        if not parts:
            raise PropertyError(f"'{sign}' needs an operand")
        return [self.linear(part) for part in parts]

    def add(self, parts: list[object]) -> Linear:
        first, *rest = self.operands("+", parts)
        return first.plus(*rest)

    def subtract(self, parts: list[object]) -> Linear:
        first, *rest = self.operands("-", parts)
        if not rest:
            return Linear({}, 0).plus(first, factor=-1)
        return first.plus(*rest, factor=-1)

    def multiply(self, parts: list[object]) -> Linear:
        product, *rest = self.operands("*", parts)
        for factor in rest:
            product = self.product(product, factor)
        return product

    def product(self, left: Linear, right: Linear) -> Linear:
        """Multiply two forms; a product of variables becomes a variable of its own."""
        left, right = left.without_zeros(), right.without_zeros()
        if not left.terms or not right.terms:
            return left.times(right)
        one, first = left.monic()
        other, second = right.monic()
        factors = sorted([(one.key, one), (other.key, other)], key=lambda each: each[0])
        key = factors[0][0], factors[1][0]
        if key not in self.places:
            self.places[key] = len(self.products)
            self.products.append((factors[0][1], factors[1][1]))
        number = of_product(self.places[key])
        return Linear({number: 1}, 0).times(Linear({}, first)).times(Linear({}, second))

    def divide(self, parts: list[object]) -> Linear:
        quotient, *rest = self.operands("/", parts)
        for divisor in rest:
            quotient = quotient.over(divisor)
        return quotient

    def imply(self, parts: list[object]) -> Formula:
        """`(=> a b c)` is `a → (b → c)`: one of the first ones fails, or the last one holds."""
        formulas = self.formulas("=>", parts)
        if len(formulas) < 2:
            raise PropertyError(f"'=>' takes 2 formulas or more, met {len(formulas)}")
        return Any((*map(Not, formulas[:-1]), formulas[-1]))

    def compare(self, sign: str, parts: list[object]) -> Formula:
        if len(parts) != 2:
            raise PropertyError(f"'{sign}' compares 2 values, met {len(parts)}")
        return COMPARISONS[sign](self.linear(parts[0]), self.linear(parts[1]))

    def formulas(self, word: str, parts: list[object]) -> tuple[Formula, ...]:
        formulas = tuple(part for part in parts if isinstance(part, Comparison | All | Any | Not))
        if len(formulas) != len(parts):
            other = next(part for part in parts if part not in formulas)
            raise PropertyError(f"'{word}' takes formulas, met {shown(other)}")
        if not formulas:
            raise PropertyError(f"'{word}' needs a formula")
        return formulas

    def one_formula(self, word: str, parts: list[object]) -> Formula:
        formulas = self.formulas(word, parts)
        if len(formulas) != 1:
            raise PropertyError(f"'{word}' takes 1 formula, met {len(parts)}")
        return formulas[0]

    def assert_formula(self, parts: list[object]) -> None:
        self.assertions.append(self.one_formula("assert", parts))


def number(text: str) -> Exact:
    """Read a number exactly; PropertyError if it exceeds float64's range or has too many digits."""
    if not math.isfinite(float(text)):
        raise PropertyError(f"{text:.40} is beyond the range of float64")
    try:
        written = Decimal(text)
    except DecimalException:
        # An exponent below −10¹⁸.
        written = SMALLEST
    if len(text) > DIGITS or (written and written.adjusted() < -DIGITS):
        raise PropertyError(f"{text:.40} has more than {DIGITS} digits; round it")
    exact = Fraction(written) if written else Fraction(0)
    return exact.numerator if exact.denominator == 1 else exact
