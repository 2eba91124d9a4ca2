"""Makes linear forms and comparisons of the arithmetic forms of a VNN-LIB file."""

from __future__ import annotations

from itertools import combinations, pairwise

from boundmesh.errors import PropertyError
from boundmesh.read.declarations import Declarations, shown
from boundmesh.read.departures import Departures
from boundmesh.read.formula import COMPARISONS, All, Formula, Key, Linear, of_product
from boundmesh.read.numerals import NUMBER, number

# At most so many numbers are remembered. The same numbers often come again.
REMEMBERED = 100_000


class Arithmetic:
    """Makes the values of sums, products, quotients and comparisons.

    variables  the form of each variable that was met, by its name
    products   the factors of each product of variables, in the order of their numbers
    """

    def __init__(self, declarations: Declarations, departures: Departures) -> None:
        self.declarations, self.departures = declarations, departures
        self.variables: dict[str, Linear] = {}
        self.products: list[tuple[Linear, Linear]] = []
        self._constants: dict[str, Linear] = {}
        self._places: dict[tuple[Key, Key], int] = {}

    def linear(self, part: object) -> Linear:
        """Read a part of an arithmetic form: a form itself, a number or a variable."""
        if isinstance(part, Linear):
            return part
        if not isinstance(part, str):
            raise PropertyError(f"expected a number or a variable, met {shown(part)}")
        known = self.variables.get(part) or self._constants.get(part)
        if known is not None:
            return known
        if NUMBER.fullmatch(part):
            if "e" in part or "E" in part:
                self.departures.meet(f"numbers with an exponent, as '{part}'")
            constant = Linear({}, number(part))
            if len(self._constants) < REMEMBERED:
                self._constants[part] = constant
            return constant
        self.variables[part] = Linear({self.declarations.number(part): 1}, 0)
        return self.variables[part]

    def operands(self, sign: str, parts: list[object]) -> list[Linear]:
        """Read the parts of `(sign …)`, at least one."""
        if not parts:
            raise PropertyError(f"'{sign}' needs an operand")
        return [self.linear(part) for part in parts]

    def add(self, parts: list[object]) -> Linear:
        """Return the sum of all parts."""
        first, *rest = self.operands("+", parts)
        return first.plus(*rest)

    def subtract(self, parts: list[object]) -> Linear:
        """Return the first part less all others; a single part is negated."""
        first, *rest = self.operands("-", parts)
        if not rest:
            return Linear({}, 0).plus(first, factor=-1)
        return first.plus(*rest, factor=-1)

    def multiply(self, parts: list[object]) -> Linear:
        """Return the product of all parts."""
        product, *rest = self.operands("*", parts)
        for factor in rest:
            product = self.product(product, factor)
        return product

    def product(self, left: Linear, right: Linear) -> Linear:
        """Multiply two forms; a product of variables becomes a variable of its own."""
        left, right = left.without_zeros(), right.without_zeros()
        if not left.terms or not right.terms:
            return left.times(right)
        left_form, first = left.monic()
        right_form, second = right.monic()
        factors = sorted([(form.key, form) for form in (left_form, right_form)], key=lambda f: f[0])
        key = factors[0][0], factors[1][0]
        if key not in self._places:
            self._places[key] = len(self.products)
            self.products.append((factors[0][1], factors[1][1]))
        number = of_product(self._places[key])
        return Linear({number: 1}, 0).times(Linear({}, first)).times(Linear({}, second))

    def divide(self, parts: list[object]) -> Linear:
        """Return the first part divided by all others."""
        quotient, *rest = self.operands("/", parts)
        for divisor in rest:
            quotient = quotient.over(divisor)
        return quotient

    def compare(self, sign: str, parts: list[object]) -> Formula:
        """Return the formula that compares each part with the next."""
        if len(parts) < 2 or (len(parts) > 2 and sign == "!="):
            raise PropertyError(f"'{sign}' compares 2 values, met {len(parts)}")
        values = [self.linear(part) for part in parts]
        self.check_types(values)
        if len(values) == 2:
            return COMPARISONS[sign](*values)
        self.departures.meet(f"comparisons of several values, as '{sign}' of {len(values)}")
        return All(tuple(COMPARISONS[sign](*pair) for pair in pairwise(values)))

    def distinct(self, parts: list[object]) -> Formula:
        """Return the formula that no two parts are equal."""
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
