"""Small parts that pages share, and the head that every page has."""

from __future__ import annotations

from dataclasses import dataclass

from boundmesh.report.page.circumstances import Circumstances, Origin


@dataclass(frozen=True)
class Card:
    """A number in large print, what it counts, and the style of its colour."""

    value: str
    name: str
    style: str = ""


@dataclass(frozen=True)
class Head:
    """The head of a page: its verdict in words, and all that is needed to repeat its run.

    title          the title of the window
    word           the style of the answer, such as `unsat`
    badge          the answer in a few words
    question       what was asked, as the page's heading
    sentence       the answer in a sentence
    cards          the most important numbers
    origin         where the query comes from
    circumstances  versions, settings and device
    """

    title: str
    word: str
    badge: str
    question: str
    sentence: str
    cards: tuple[Card, ...]
    origin: Origin
    circumstances: Circumstances
