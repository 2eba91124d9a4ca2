"""Parses the text of a VNN-LIB file, 1.0 or 2.0, into its declarations and assertions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal, DecimalException
from difflib import get_close_matches
from fractions import Fraction
from functools import cached_property, partial
from itertools import combinations, pairwise
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
from boundmesh.read.ranges import Ranges, ranges_of, taken_out
from boundmesh.read.sexpr import fold

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# Commands of SMT-LIB that do not change the property.
IDLE = ("set-logic", "set-info", "set-option", "check-sat", "get-model", "exit")
# Numbers are exact, however long. One with more digits than this would only fill the memory.
DIGITS = 4000
SMALLEST = Decimal((0, (1,), -2 * DIGITS))
TRUTHS: dict[str, Formula] = {"true": All(()), "false": Any(())}
# What SMT-LIB has and VNN-LIB 2.0 does not.
DEPARTURES = frozenset(("not", "=>", "/", "=", "distinct", "let"))
# So many numbers are remembered, as they often come again.
REMEMBERED = 100_000
# The value of an empty form. Only declare-fun may contain one.
NOTHING = ()


@dataclass(frozen=True)
class Binding:
    """A name and its value, in the list of a `let`."""

    name: str
    value: object


class Scope:
    """The value of the list of a `let`: its names are known from here to the end of the `let`."""


def unknown(head: object, known: Iterable[str]) -> str:
    """Explain that a form begins with something that no form begins with."""
    near = get_close_matches(head, list(known), 1) if isinstance(head, str) else []
    hint = f"do you mean '{near[0]}'? " if near else ""
    return f"{shown(head)} begins no form; {hint}known: {' '.join(known)}"


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
    ranges      bounds of inputs that hold as well as the assertions; None where those have all
    departures  in words, what the file has that the standard 2.0 does not
    """

    path: Path
    version: str
    """`1` or `2`."""
    networks: tuple[Network, ...]
    variables: tuple[Variable, ...]
    assertions: tuple[Formula, ...]
    products: tuple[tuple[Linear, Linear], ...] = ()
    departures: tuple[str, ...] = ()
    ranges: Ranges | None = None

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


def parse(text: str, path: Path, strict: bool = False) -> Query:
    """Parse a file's text; raise PropertyError with file, line and reason where that fails."""
    rest, lines = taken_out(text)
    query = parsed(rest, path, strict)
    if not lines:
        return query
    ranges = ranges_of(lines, query.variables, query.version)
    return parsed(text, path, strict) if ranges is None else replace(query, ranges=ranges)


def parsed(text: str, path: Path, strict: bool) -> Query:
    """Parse a text form by form; raises the errors of `parse`."""
    reader = Reader(strict)
    for value in fold(text, str(path), reader.reduce):
        if isinstance(value, Binding):
            raise PropertyError(f"{path}: {unknown(value.name, reader.heads)}")
        if value is not None:
            raise PropertyError(f"{path}: {shown(value)} is not a command; expected (assert …)")
    declared = reader.declarations
    try:
        variables = declared.variables()
    except PropertyError as error:
        raise PropertyError(f"{path}: {error}") from None
    if declared.headless:
        try:
            reader.depart("files without (vnnlib-version <2.0>) in front")
        except PropertyError as error:
            raise PropertyError(f"{path}: {error}") from None
    networks, assertions = tuple(declared.networks.values()), tuple(reader.assertions)
    products, departures = tuple(reader.products), tuple(reader.departures)
    return Query(path, declared.version, networks, variables, assertions, products, departures)


class Reader:
    """Makes a value of each form: Linear, Formula, Variable, or None for a command."""

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self.declarations = declared = Declarations()
        self.departures: dict[str, None] = {}
        # The values that `let` names, of each `let` around the form that is read.
        self.scopes: list[dict[str, object]] = []
        # True once a form was met that only some forms may contain.
        self.unusual = False
        self.assertions: list[Formula] = []
        self.known: dict[str, Linear] = {}
        self.constants: dict[str, Linear] = {}
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
            "distinct": self.distinct,
            "let": self.leave_scope,
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
            self.unusual = True
            return NOTHING
        head = parts[0]
        if isinstance(head, Binding):
            return self.enter_scope(parts)
        if isinstance(head, str) and head in IDLE:
            self.depart(f"the command '{head}'")
            return None
        action = self.heads.get(head) if isinstance(head, str) else None
        if self.unusual and head != "declare-fun":
            for part in parts:
                if part == NOTHING:
                    action, head = None, NOTHING
                elif isinstance(part, Binding):
                    raise PropertyError(unknown(part.name, self.heads))
        if action is None:
            if isinstance(head, str) and len(parts) == 2:
                # A pair in the list of a `let`; anything else around it refuses it.
                self.unusual = True
                return Binding(head, self.value(parts[1]))
            raise PropertyError(unknown(head, self.heads))
        if head in DEPARTURES:
            self.depart(f"'{head}'")
        if self.scopes:
            parts = [head, *map(self.value, parts[1:])]
        return action(parts[1:])

    def depart(self, what: str) -> None:
        """Remember what the standard 2.0 does not have; raise PropertyError if it must be kept."""
        if self.declarations.version != "2":
            return
        if self.strict:
            raise PropertyError(f"VNN-LIB 2.0 does not have {what}; it is read without --strict")
        self.departures.setdefault(f"VNN-LIB 2.0 does not have {what}")

    def value(self, part: object) -> object:
        """Return the value that the innermost `let` gives a name, or the part itself."""
        if isinstance(part, str):
            for scope in reversed(self.scopes):
                if part in scope:
                    return scope[part]
        return part

    def enter_scope(self, parts: list[object]) -> Scope:
        """`((a 1) (b X_0))` after `let`: its values were read outside of the new names."""
        names = {part.name: part.value for part in parts if isinstance(part, Binding)}
        if len(names) < len(parts):
            raise PropertyError("'let' takes pairs of different names and their values")
        self.scopes.append(names)
        return Scope()

    def leave_scope(self, parts: list[object]) -> object:
        if len(parts) != 2 or not isinstance(parts[0], Scope):
            raise PropertyError("expected (let ((NAME value) …) form)")
        self.scopes.pop()
        return parts[1]

    def linear(self, part: object) -> Linear:
        """Read a part of an arithmetic form: a form itself, a number or a variable."""
        if isinstance(part, Linear):
            return part
        if not isinstance(part, str):
            raise PropertyError(f"expected a number or a variable, met {shown(part)}")
        found = self.known.get(part) or self.constants.get(part)
        if found is not None:
            return found
        if NUMBER.fullmatch(part):
            if "e" in part or "E" in part:
                self.depart(f"numbers with an exponent, as '{part}'")
            constant = Linear({}, number(part))
            if len(self.constants) < REMEMBERED:
                self.constants[part] = constant
            return constant
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
        if len(parts) < 2 or (len(parts) > 2 and sign == "!="):
            raise PropertyError(f"'{sign}' compares 2 values, met {len(parts)}")
        values = [self.linear(part) for part in parts]
        self.check_types(values)
        if len(values) == 2:
            return COMPARISONS[sign](*values)
        self.depart(f"comparisons of several values, as '{sign}' of {len(values)}")
        return All(tuple(COMPARISONS[sign](*pair) for pair in pairwise(values)))

    def distinct(self, parts: list[object]) -> Formula:
        values = [self.linear(part) for part in parts]
        if len(values) < 2:
            raise PropertyError(f"'distinct' compares 2 values or more, met {len(values)}")
        return All(tuple(COMPARISONS["!="](*pair) for pair in combinations(values, 2)))

    def check_types(self, values: list[Linear]) -> None:
        """Raise PropertyError where variables of different element types are compared."""
        if len(self.declarations.element_types) < 2:
            return
        numbers = {number for value in values for number in value.terms if number > of_product(0)}
        types = {self.declarations.element_type(number) for number in numbers}
        if len(types) > 1:
            raise PropertyError(f"values of the types {' and '.join(sorted(types))} are compared")

    def formulas(self, word: str, parts: list[object]) -> tuple[Formula, ...]:
        parts = [TRUTHS.get(part, part) if isinstance(part, str) else part for part in parts]
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
