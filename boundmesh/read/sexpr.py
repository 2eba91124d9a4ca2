"""S-expressions: the syntax that both versions of VNN-LIB share."""

from __future__ import annotations

import re
from collections.abc import Callable

# A tensor index belongs to the name before it: `X[0, 3]` and `Real [1,10]` are one token each.
TOKEN = re.compile(r'\n|;[^\n]*|[()]|"[^"\n]*"|[^\s()\[\]";]+(?:\s*\[[^\[\]]*\])?|\S')


class SyntaxProblem(Exception):
    """What is wrong in which line."""

    def __init__(self, line: int, reason: str):
        super().__init__(reason)
        self.line, self.reason = line, reason


def fold(text: str, reduce: Callable[[int, list], object]) -> list:
    """Evaluate every form from the inside out and return the values of the outermost ones.

    `reduce(line, values)` is called when a form closes, with the line it opened in and its parts:
    tokens as `str`, inner forms as what `reduce` made of them. There is no recursion, so forms
    may nest to any depth. Raises SyntaxProblem where parentheses do not match.
    """
    line = start = 1
    values: list = []
    enclosing: list[tuple[int, list]] = []
    for token in TOKEN.findall(text):
        if token == "(":
            enclosing.append((start, values))
            start, values = line, []
        elif token == ")":
            if not enclosing:
                raise SyntaxProblem(line, "')' closes nothing")
            value = reduce(start, values)
            start, values = enclosing.pop()
            values.append(value)
        elif token == "\n":
            line += 1
        elif token[0] != ";":
            values.append(token)
            if token[-1] == "]":
                line += token.count("\n")
    if enclosing:
        raise SyntaxProblem(start, "'(' is never closed; the file may be cut off")
    return values
