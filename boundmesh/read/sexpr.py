"""Parses S-expressions, the syntax of both versions of VNN-LIB."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from boundmesh.errors import PropertyError

# A tensor index belongs to the name before it: `X[0, 3]` and `Real [1,10]` are one token each.
WORDS = r';[^\n]*|[()]|"[^"\n]*"|[^\s()\[\]";]+(?:\s*\[[^\[\]]*\])?|\S'
TOKEN = re.compile(WORDS)
# A form of three words without spaces inside, `(<= X[0,3] 0.25)`, is most of a large file. It is
# one token, so that it is read in one step.
WORD = r'[^\s()\[\]";]++(?:\[[^\[\]\s]*+\])?+'
TRIPLE = re.compile(rf'\(\s*+[^\s()\[\]";]++\s++{WORD}\s++{WORD}\s*+\)|{WORDS}')

QUOTED = re.compile(r"'([^']+)'")
# A form is searched so far for the word that a message quotes.
REACH = 10_000
# The characters of a line that an error shows.
WIDTH = 90

COMMENT = re.compile(r";[^\n]*")


def fold(
    text: str,
    source: str,
    reduce: Callable[[list[Any]], object],
    reduce_words: Callable[[list[str]], object] | None = None,
) -> list[Any]:
    """Evaluate every form from the inside out and return the values of the outermost ones.

    `reduce(parts)` is called when a form closes: its tokens are `str`, its inner forms what
    `reduce` made of them. `reduce_words(words)` is called in its place for a form of three words.
    There is no recursion, so forms may nest to any depth. A PropertyError of either, or one about
    parentheses that do not match, names `source` and the form's line.
    """
    reduce_words = reduce_words or reduce
    start, opened = 0, 0
    parts: list[Any] = []
    # Of each form that is open: how many forms were opened before it, and its parts.
    enclosing: list[tuple[int, list[Any]]] = []
    for token in TRIPLE.findall(text):
        if token == "(":
            enclosing.append((start, parts))
            start, parts = opened, []
            opened += 1
        elif token[0] == "(":
            try:
                parts.append(reduce_words(token[1:-1].split()))
            except PropertyError as error:
                raise located(text, source, opened, str(error)) from None
            opened += 1
        elif token == ")":
            if not enclosing:
                raise located(text, source, None, "')' closes nothing")
            try:
                value = reduce(parts)
            except PropertyError as error:
                raise located(text, source, start, str(error)) from None
            start, parts = enclosing.pop()
            parts.append(value)
        elif token[0] != ";":
            parts.append(token)
    if enclosing:
        cut = "'(' is never closed; the file may be cut off"
        raise located(text, source, start, cut)
    return parts


def located(text: str, source: str, form: int | None, message: str) -> PropertyError:
    """Make the error of a form, given by how many were opened before it, with its line and a caret.

    The caret stands under the first word of the form that the message quotes, or under the form.
    None stands for the first parenthesis that closes nothing.
    """
    start, depth, opened = 0, 0, -1
    for match in TOKEN.finditer(text):
        if match[0] not in "()":
            continue
        opened += match[0] == "("
        depth += 1 if match[0] == "(" else -1
        if opened == form or (form is None and depth < 0):
            start = match.start()
            break
    line = text.count("\n", 0, start) + 1
    place = start
    for quoted in QUOTED.findall(message):
        found = text.find(quoted, start, start + REACH)
        if found > start:
            place = found
            break
    first = text.rfind("\n", 0, place) + 1
    shown = text[first:].split("\n", 1)[0]
    cut = max(0, place - first - WIDTH // 2)
    shown, column = shown[cut : cut + WIDTH], place - first - cut
    excerpt = f"  {shown}\n  {' ' * column}^"
    return PropertyError(f"{source}:{line}: {message}", excerpt)
