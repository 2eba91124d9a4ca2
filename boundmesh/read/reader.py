"""Makes a value of each form of a VNN-LIB file, from the innermost form outward."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

from boundmesh.errors import PropertyError
from boundmesh.read.arithmetic_forms import Arithmetic
from boundmesh.read.declarations import Declarations, shown
from boundmesh.read.departures import Departures
from boundmesh.read.formula import (
    COMPARISONS,
    All,
    Any,
    Comparison,
    Formula,
    Not,
)
from boundmesh.read.numerals import PLAIN, SHORT, plain

# The coefficient of a variable that is compared with a number, and True where it is strict.
SIDES = {"<=": (1, False), "<": (1, True), ">=": (-1, False), ">": (-1, True)}
# Commands of SMT-LIB that do not change the property.
IDLE = ("set-logic", "set-info", "set-option", "check-sat", "get-model", "exit")
# Those of them that come after all assertions.
LAST = ("check-sat", "exit")
TRUTHS: dict[str, Formula] = {"true": All(()), "false": Any(())}
FORMULAS = (Comparison, All, Any, Not)
# Words that SMT-LIB has and VNN-LIB 2.0 lacks.
DEPARTURES = frozenset(("not", "=>", "/", "=", "distinct", "let"))
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
    """Makes a value of each form: Linear, Formula, Variable, or None for a command.

    declarations  what the file declares
    departures    what the standard 2.0 does not have
    arithmetic    makes linear forms and comparisons
    assertions    the asserted formulas
    heads         makes the value of a form from its parts, by the word that begins the form
    """

    def __init__(self, strict: bool = False) -> None:
        self.declarations = declared = Declarations()
        self.departures = Departures(declared, strict)
        self.arithmetic = arithmetic = Arithmetic(declared, self.departures)
        self.assertions: list[Formula] = []
        # The values that `let` names, of each `let` around the form that is read.
        self._scopes: list[dict[str, object]] = []
        # True once a form was met that only some forms may contain.
        self._unusual = False
        # The command after which SMT-LIB takes no assertion into its answer, once it was met.
        self._last = ""
        self.heads: dict[str, Callable[[list[object]], object]] = {
            "and": lambda parts: All(self.formulas("and", parts)),
            "or": lambda parts: Any(self.formulas("or", parts)),
            "not": lambda parts: Not(self.one_formula("not", parts)),
            "=>": self.imply,
            "+": arithmetic.add,
            "-": arithmetic.subtract,
            "*": arithmetic.multiply,
            "/": arithmetic.divide,
            "distinct": arithmetic.distinct,
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
            self.heads[word] = partial(arithmetic.compare, word)

    def reduce(self, parts: list[object]) -> object:
        """Make the value of a form whose parts have their values already.

        Raises PropertyError where no form begins with its first part, or a part does not fit.
        """
        if not parts:
            self._unusual = True
            return NOTHING
        head = parts[0]
        if isinstance(head, Binding):
            return self.enter_scope(parts)
        if isinstance(head, str) and head in IDLE:
            self.departures.meet(f"the command '{head}'")
            self._last = head if head in LAST else self._last
            return None
        action = self.heads.get(head) if isinstance(head, str) else None
        if self._unusual and head != "declare-fun":
            for part in parts:
                if part == NOTHING:
                    action, head = None, NOTHING
                elif isinstance(part, Binding):
                    raise PropertyError(unknown(part.name, self.heads))
        if action is None:
            if isinstance(head, str) and len(parts) == 2:
                # A pair in the list of a `let`; anything else around it refuses it.
                self._unusual = True
                return Binding(head, self.value(parts[1]))
            raise PropertyError(unknown(head, self.heads))
        if head in DEPARTURES:
            self.departures.meet(f"'{head}'")
        if self._scopes:
            parts = [head, *map(self.value, parts[1:])]
        return action(parts[1:])

    def reduce_words(self, words: list[str]) -> object:
        """Make the value of a form of three words: most of them bound a variable by a decimal."""
        head, name, limit = words
        side = SIDES.get(head)
        if side is not None and not self._scopes and not self._unusual:
            coefficient, strict = side
            known = self.arithmetic.variables.get(name)
            if known is not None and len(limit) <= SHORT and PLAIN.fullmatch(limit):
                (variable,) = known.terms
                bound = plain(limit, coefficient)
                return Comparison(((variable, coefficient),), bound, strict)
        return self.reduce([*words])

    def value(self, part: object) -> object:
        """Return the value that the innermost `let` gives a name, or the part itself."""
        if isinstance(part, str):
            for scope in reversed(self._scopes):
                if part in scope:
                    return scope[part]
        return part

    def enter_scope(self, parts: list[object]) -> Scope:
        """Read `((a 1) (b X_0))` after `let`: its values were read outside of the new names."""
        names = {part.name: part.value for part in parts if isinstance(part, Binding)}
        if len(names) < len(parts):
            raise PropertyError("'let' takes pairs of different names and their values")
        self._scopes.append(names)
        return Scope()

    def leave_scope(self, parts: list[object]) -> object:
        """Return the value of the form inside of a `let`, whose names end here."""
        if len(parts) != 2 or not isinstance(parts[0], Scope):
            raise PropertyError("expected (let ((NAME value) …) form)")
        self._scopes.pop()
        return parts[1]

    def imply(self, parts: list[object]) -> Formula:
        """Read `(=> a b c)`, which is `a → (b → c)`.

        It holds where the last formula holds, or where one of the others fails.
        """
        formulas = self.formulas("=>", parts)
        if len(formulas) < 2:
            raise PropertyError(f"'=>' takes 2 formulas or more, met {len(formulas)}")
        return Any((*map(Not, formulas[:-1]), formulas[-1]))

    def formulas(self, word: str, parts: list[object]) -> tuple[Formula, ...]:
        """Return the parts of `(word …)` if they are formulas, at least one."""
        for place, part in enumerate(parts):
            if isinstance(part, str) and part in TRUTHS:
                self.departures.meet(f"'{part}'")
                parts = [*parts[:place], TRUTHS[part], *parts[place + 1 :]]
        formulas = tuple(part for part in parts if isinstance(part, FORMULAS))
        if len(formulas) != len(parts):
            other = next(part for part in parts if part not in formulas)
            raise PropertyError(f"'{word}' takes formulas, met {shown(other)}")
        if not formulas:
            raise PropertyError(f"'{word}' needs a formula")
        return formulas

    def one_formula(self, word: str, parts: list[object]) -> Formula:
        """Return the only part of `(word …)` if it is a formula."""
        formulas = self.formulas(word, parts)
        if len(formulas) != 1:
            raise PropertyError(f"'{word}' takes 1 formula, met {len(parts)}")
        return formulas[0]

    def assert_formula(self, parts: list[object]) -> None:
        """Add the formula of `(assert …)` to the assertions."""
        if self._last:
            raise PropertyError(
                f"an assertion after ({self._last}) is not part of what is checked; put "
                f"({self._last}) at the end, or leave it out"
            )
        self.assertions.append(self.one_formula("assert", parts))
