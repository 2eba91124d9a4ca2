"""S-expressions: words, forms of three words, and the places that errors name."""

from __future__ import annotations

import random
from typing import Any

import pytest

from boundmesh.errors import PropertyError
from boundmesh.read.sexpr import fold

HEADS = ("<=", "assert", "+")
WORDS = ("X_0", "X[0,3]", "-0.25", "Y", "X[0, 3]", "X [1]")
BETWEEN = (" ", "\n", "  ", " ; (<= a b)\n")


def written(rng: random.Random, depth: int) -> tuple[str, list[Any]]:
    """Make the text of a random form, and its words and inner forms."""
    parts: list[Any] = [rng.choice(HEADS)]
    texts: list[str] = [parts[0]]
    for _ in range(rng.randint(1, 3)):
        if depth and rng.random() < 0.5:
            text, inner = written(rng, depth - 1)
            texts.append(text)
            parts.append(inner)
        else:
            texts.append(rng.choice(WORDS))
            parts.append(texts[-1])
    ends = rng.choice(("", " ")), rng.choice(("", " "))
    return f"({ends[0]}{rng.choice(BETWEEN).join(texts)}{ends[1]})", parts


@pytest.mark.parametrize("seed", range(40))
def test_forms_of_three_words_are_the_same_however_they_are_read(seed: int) -> None:
    rng = random.Random(seed)
    text, parts = written(rng, 3)
    assert fold(text, "f", list) == [parts]


def test_an_error_in_a_form_of_three_words_names_its_line() -> None:
    def refuse(words: list[str]) -> object:
        raise PropertyError("'b' is refused")

    text = "(and (or (p q r)\n (x a\n b)) (x (y z)))"
    with pytest.raises(PropertyError, match=r"f:1: 'b' is refused"):
        fold(text, "f", list, refuse)
    with pytest.raises(PropertyError, match=r"f:2: 'b' is refused"):
        fold(text, "f", list, lambda words: words if words[0] == "p" else refuse(words))
