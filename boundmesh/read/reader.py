"""Makes values of the forms of a VNN-LIB file: linear forms, formulas and declarations."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from difflib import get_close_matches
from fractions import Fraction
from functools import partial
from itertools import combinations, pairwise

from boundmesh.errors import PropertyError
from boundmesh.rational import Exact
from boundmesh.read.declarations import Declarations, shown
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

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# A decimal of the standard, without an exponent.
PLAIN = re.compile(r"-?(\d+\.?\d*|\.\d+)", re.ASCII)
# The coefficient of a variable that is compared with a number, and True where it is strict.
SIDES = {"<=": (1, False), "<": (1, True), ">=": (-1, False), ">": (-1, True)}
# Commands of SMT-LIB that do not change the property.
IDLE = ("set-logic", "set-info", "set-option", "check-sat", "get-model", "exit")
# Numbers are exact, however long. One with more digits than this would only fill the memory.
DIGITS = 4000
# A decimal of so many characters is within the range of float64.
SHORT = 300
SMALLEST = Decimal((0, (1,), -2 * DIGITS))
TRUTHS: dict[str, Formula] = {"true": All(()), "false": Any(())}
FORMULAS = (Comparison, All, Any, Not)
# Words that SMT-LIB has and VNN-LIB 2.0 lacks.
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

    def reduce_words(self, words: list[str]) -> object:
        """Make the value of a form of three words: most of them bound a variable by a decimal."""
        head, name, limit = words
        side = SIDES.get(head)
        if side is not None and not self.scopes and not self.unusual:
            coefficient, strict = side
            known = self.known.get(name)
            if known is not None and len(limit) <= SHORT and PLAIN.fullmatch(limit):
                ((variable, _),) = known.terms.items()
                bound = plain(limit, coefficient)
                return Comparison(((variable, coefficient),), bound, strict)
        return self.reduce([*words])

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
        if len(self.declarations.tensors) < 2 or len(self.declarations.element_types) < 2:
            return
        numbers = {number for value in values for number in value.terms if number > of_product(0)}
        types = {self.declarations.element_type(number) for number in numbers}
        if len(types) > 1:
            raise PropertyError(f"values of the types {' and '.join(sorted(types))} are compared")

    def formulas(self, word: str, parts: list[object]) -> tuple[Formula, ...]:
        for place, part in enumerate(parts):
            if isinstance(part, str) and part in TRUTHS:
                self.depart(f"'{part}'")
                parts = [*parts[:place], TRUTHS[part], *parts[place + 1 :]]
        formulas = tuple(part for part in parts if isinstance(part, FORMULAS))
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


def plain(text: str, sign: int = 1) -> Exact:
    """Read a decimal without an exponent exactly, times a sign."""
    whole, _, digits = text.partition(".")
    exact = Fraction(sign * int(whole + digits), 10 ** len(digits))
    return exact.numerator if exact.denominator == 1 else exact


def number(text: str) -> Exact:
    """Read a number exactly; PropertyError if it exceeds float64's range or has too many digits."""
    if len(text) <= SHORT and "e" not in text and "E" not in text:
        return plain(text)
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
