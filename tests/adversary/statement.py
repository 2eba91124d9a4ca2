"""A VNN-LIB text as nested lists, judged at a point in exact arithmetic.

It reads the small part of the language that the tests write: declarations and assertions with
`and`, `or`, `<=`, `>=`, `<`, `>`, `+`, `-`, `*` over decimals. Decimals are rational numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

Term = Any


def parse(text: str) -> list[Term]:
    """The assertions of a text."""
    words = re.findall(r"[()]|[^\s()]+", re.sub(r";.*", "", text))
    stack: list[list[Term]] = [[]]
    for word in words:
        if word == "(":
            stack.append([])
        elif word == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(word)
    (commands,) = stack
    return [command[1] for command in commands if command[0] == "assert"]


ORDERS = {
    "<=": lambda a, b, doubt: a <= b - doubt,
    ">=": lambda a, b, doubt: a >= b + doubt,
    "<": lambda a, b, doubt: a < b - doubt,
    ">": lambda a, b, doubt: a > b + doubt,
}


def value(term: Term, point: Mapping[str, Fraction]) -> Fraction:
    if isinstance(term, str):
        return point[term] if term in point else Fraction(term)
    first, *rest = term
    numbers = [value(each, point) for each in rest]
    if first == "+":
        return sum(numbers, Fraction(0))
    if first == "-":
        return -numbers[0] if len(numbers) == 1 else numbers[0] - sum(numbers[1:])
    assert first == "*", first
    result = Fraction(1)
    for number in numbers:
        result *= number
    return result


def holds(term: Term, point: Mapping[str, Fraction], doubt: Fraction = Fraction(0)) -> bool:
    """Whether the term is true at the point, beyond a doubt relative to 1 and to its sides."""
    first, *rest = term
    if first == "and":
        return all(holds(each, point, doubt) for each in rest)
    if first == "or":
        return any(holds(each, point, doubt) for each in rest)
    left, right = (value(each, point) for each in rest)
    # Inputs are exact; only what stands with an output can be in doubt.
    unsure = doubt * (1 + abs(left) + abs(right)) if doubt and "Y_" in str(rest) else Fraction(0)
    return ORDERS[first](left, right, unsure)


def satisfied(
    assertions: list[Term], x: list[Fraction], y: list[Fraction], doubt: Fraction = Fraction(0)
) -> bool:
    """Whether all assertions hold at inputs x and outputs y, exactly as written."""
    point = {f"X_{place}": each for place, each in enumerate(x)}
    point |= {f"Y_{place}": each for place, each in enumerate(y)}
    return all(holds(each, point, doubt) for each in assertions)
