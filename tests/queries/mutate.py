"""Makes invalid queries of valid ones: each breaks one rule of VNN-LIB 2.0."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Change = Callable[[str, random.Random], str]
"""Returns the text with one fault; the same text where the fault has no place in it."""

VARIABLE = re.compile(r"[XYH][fg]\[0,\d\]")
SHAPE = re.compile(r"\[1,(\d)\]")
NUMBER = re.compile(r"(?<= )-?\d+\.\d+(?=[ )])")


def replaced(pattern: str, by: str) -> Change:
    """A change that replaces one of the matches."""

    def change(text: str, rng: random.Random) -> str:
        found = list(re.finditer(pattern, text))
        if not found:
            return text
        match = rng.choice(found)
        return text[: match.start()] + match.expand(by) + text[match.end() :]

    return change


def appended(line: str) -> Change:
    """A change that adds a line at the end."""
    return lambda text, rng: f"{text}{line}\n"


def without_a_character(text: str, rng: random.Random) -> str:
    """One parenthesis is missing."""
    place = rng.choice([place for place, letter in enumerate(text) if letter in "()"])
    return text[:place] + text[place + 1 :]


def twice(pattern: str) -> Change:
    """A change that repeats a line."""

    def change(text: str, rng: random.Random) -> str:
        lines = text.splitlines(keepends=True)
        found = [place for place, line in enumerate(lines) if re.match(pattern, line)]
        if not found:
            return text
        place = rng.choice(found)
        return "".join([*lines[: place + 1], lines[place], *lines[place + 1 :]])

    return change


def first_after_last(text: str, rng: random.Random) -> str:
    """The first assertion comes before the declarations."""
    version, *lines = text.splitlines(keepends=True)
    place = next(place for place, line in enumerate(lines) if line.startswith("(assert"))
    return "".join([version, lines[place], *lines[:place], *lines[place + 1 :]])


ASSERTION = r"\(assert (.*)\)\n"
INVALID: dict[str, Change] = {
    "no version": replaced(r"\(vnnlib-version <2.0>\)\n", ""),
    "version without brackets": replaced(r"<2\.0>", "2.0"),
    "another version": replaced(r"<2\.0>", "<3.0>"),
    "two versions": twice(r"\(vnnlib-version"),
    "no parenthesis": without_a_character,
    "not": replaced(ASSERTION, r"(assert (not \1))\n"),
    "implication": replaced(ASSERTION, r"(assert (=> \1 \1))\n"),
    "let": replaced(ASSERTION, r"(assert (let ((a 1.0)) \1))\n"),
    "true": appended("(assert true)"),
    "exponent": replaced(NUMBER.pattern, "1e-3"),
    "bare =": replaced(r"\((<=|>=|==|!=) ", "(= "),
    "quotient": replaced(VARIABLE.pattern, r"(/ \g<0> 2.0)"),
    "unknown function": replaced(VARIABLE.pattern, r"(sin \g<0>)"),
    "undeclared name": replaced(VARIABLE.pattern, "Z[0,0]"),
    "index out of range": replaced(VARIABLE.pattern, "Xf[0,9]"),
    "negative index": replaced(VARIABLE.pattern, "Xf[0,-1]"),
    "too many indices": replaced(VARIABLE.pattern, "Xf[0,0,0]"),
    "too few indices": replaced(VARIABLE.pattern, "Xf[0]"),
    "variable of version 1": replaced(VARIABLE.pattern, "X_0"),
    "whole tensor": replaced(VARIABLE.pattern, "Xf"),
    "wrong shape": replaced(SHAPE.pattern, "[1,7]"),
    "empty shape": replaced(SHAPE.pattern, "[1,0]"),
    "negative shape": replaced(SHAPE.pattern, "[1,-2]"),
    "no shape": replaced(r" \[1,\d\]", ""),
    "unknown type": replaced(r"(?<= )real ", "number "),
    "another type than the network's": replaced(r"(?<= )real ", "float64 "),
    "network twice": twice(r"\(declare-network"),
    "input without a name": replaced(r"\(declare-input Xf real", "(declare-input real"),
    "no output": replaced(r" \(declare-output Yf [^)]*\)", ""),
    "output before input": replaced(
        r"(\(declare-input Xf [^)]*\))(.*?)(\(declare-output Yf [^)]*\))", r"\3\2\1"
    ),
    "comparison of one": appended("(assert (<= Xf[0,0]))"),
    "comparison of three": appended("(assert (<= Xf[0,0] Xf[0,0] Xf[0,0]))"),
    "comparison of a formula": appended("(assert (<= (and (<= Xf[0,0] 1.0)) 1.0))"),
    "conjunction of numbers": appended("(assert (and 1.0 2.0))"),
    "empty sum": appended("(assert (<= (+) 1.0))"),
    "empty assertion": appended("(assert)"),
    "two in one assertion": appended("(assert (<= Xf[0,0] 1.0) (<= Xf[0,0] 1.0))"),
    "a number asserted": appended("(assert 1.0)"),
    "a variable asserted": appended("(assert Xf[0,0])"),
    "not a number": appended("(assert (<= Xf[0,0] NaN))"),
    "infinity": appended("(assert (<= Xf[0,0] inf))"),
    "hexadecimal": appended("(assert (<= Xf[0,0] 0x10))"),
    "a constant of version 1": appended("(declare-const X_0 Real)"),
    "a command of SMT-LIB": appended("(check-sat)"),
    "unknown command": appended("(minimize Xf[0,0])"),
    "text after the end": appended("Xf[0,0]"),
    "assertion before its variables": first_after_last,
    "relation to itself": replaced(r"\(declare-network f ", "(declare-network f (equal-to f) "),
    "relation to a network that is not there": replaced(
        r"\(declare-network f ", "(declare-network f (isomorphic-to k) "
    ),
}
"""Every fault by its name."""
