"""Writes the facts of a running stage in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from boundmesh.runtime.progress import Fact

NEXT_TO_NOTHING = 1e-30
"""A margin above zero and below this is the smallest float that a proof could note, no distance."""

WORDS: Mapping[str, Callable[[Fact], str]] = {
    "visited": lambda fact: f"{fact} domains bounded",
    "depth": lambda fact: f"split {fact} times at most" if fact else "",
    "stuck": lambda fact: f"{fact} have nothing left to split" if fact else "",
    "frontier_bytes": lambda fact: f"open ones take {_mebibytes(fact)}" if fact else "",
    "margin": lambda fact: f"margin {number(fact)}",
}
"""The words of facts that are no plain counts; a fact without words is left out."""


def in_words(facts: Mapping[str, Fact]) -> str:
    """Return facts as a list with commas; infinite ones, which tell nothing, are left out."""
    known = {name: fact for name, fact in facts.items() if fact not in (math.inf, -math.inf)}
    words = [
        WORDS[name](fact) if name in WORDS else f"{name.replace('_', ' ')} {number(fact)}"
        for name, fact in known.items()
    ]
    return ", ".join(word for word in words if word)


def number(fact: Fact) -> str:
    """Return a number in few digits; one that is next to nothing is called `above 0`."""
    if isinstance(fact, float) and 0 < fact < NEXT_TO_NOTHING:
        return "above 0"
    return f"{fact:.4g}" if isinstance(fact, float) else str(fact)


def of_margin(margin: float) -> str:
    """Return a margin in few digits; words where it is no ordinary number."""
    if math.isnan(margin) or margin == -math.inf:
        return "no bound"
    return "no limit" if margin == math.inf else number(float(margin))


def of_bytes(count: float) -> str:
    """Return a number of bytes in words, as in `312 MiB`."""
    if count >= 2**30:
        return f"{count / 2**30:.1f} GiB"
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"


def _mebibytes(fact: Fact) -> str:
    return f"{float(fact) / 2**20:.1f} MiB"
