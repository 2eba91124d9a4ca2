"""Small parts that pages share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A number in large print, what it counts, and the style of its colour."""

    value: str
    name: str
    style: str = ""
