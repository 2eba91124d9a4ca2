"""Parses S-expressions, the syntax of both versions of VNN-LIB."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from boundmesh.errors import PropertyError

# A tensor index belongs to the name before it: `X[0, 3]` and `Real [1,10]` are one token each.
TOKEN = re.compile(r'\n|;[^\n]*|[()]|"[^"\n]*"|[^\s()\[\]";]+(?:\s*\[[^\[\]]*\])?|\S')

COMMENT = re.compile(r";[^\n]*")


def fold(text: str, source: str, reduce: Callable[[list[Any]], object]) -> list[Any]:
    """Evaluate every form from the inside out and return the values of the outermost ones.

    `reduce(parts)` is called when a form closes: its tokens are `str`, its inner forms what
    `reduce` made of them. There is no recursion, so forms may nest to any depth. A PropertyError
    of `reduce`, or one about parentheses that do not match, names `source` and the form's line.
    """
    line = start = 1
    parts: list[Any] = []
    enclosing: list[tuple[int, list[Any]]] = []
    for token in TOKEN.findall(text):
        if token == "(":
            enclosing.append((start, parts))
            start, parts = line, []
        elif token == ")":
            if not enclosing:
                raise PropertyError(f"{source}:{line}: ')' closes nothing")
            try:
                value = reduce(parts)
            except PropertyError as error:
                raise PropertyError(f"{source}:{start}: {error}") from None
            start, parts = enclosing.pop()
            parts.append(value)
        elif token == "\n":
            line += 1
        elif token[0] != ";":
            parts.append(token)
            if token[-1] == "]":
                line += token.count("\n")
    if enclosing:
        raise PropertyError(f"{source}:{start}: '(' is never closed; the file may be cut off")
    return parts
