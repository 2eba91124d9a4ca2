"""The heuristics that choose the neurons to split, by name."""

from __future__ import annotations

from boundmesh.search.branching.babsr import BABSR
from boundmesh.search.branching.fsb import FSB
from boundmesh.search.branching.heuristic import Heuristic
from boundmesh.settings import BRANCHING_NAMES

BRANCHING: dict[str, Heuristic] = {}
# Words of `--branching` that name no heuristic: with them neurons, where they are split at all, are
# chosen by FSB.
OF_NO_HEURISTIC = ("auto", "input")


def register(heuristic: Heuristic) -> Heuristic:
    """Enter a heuristic into `BRANCHING`, and its name into those that settings accept.

    Raises ValueError where the name is taken.
    """
    if heuristic.name in (*BRANCHING, *OF_NO_HEURISTIC):
        raise ValueError(f"the name '{heuristic.name}' of a heuristic is taken; choose another")
    BRANCHING[heuristic.name] = heuristic
    if heuristic.name not in BRANCHING_NAMES:
        BRANCHING_NAMES.append(heuristic.name)
    return heuristic


def remove(heuristic: Heuristic) -> None:
    """Take a heuristic out of `BRANCHING`, and its name out of those that settings accept."""
    del BRANCHING[heuristic.name]
    BRANCHING_NAMES.remove(heuristic.name)


def heuristic_of(branching: str) -> Heuristic:
    """The heuristic that a word of `--branching` chooses neurons with."""
    return FSB if branching in OF_NO_HEURISTIC else BRANCHING[branching]


for _heuristic in (BABSR, FSB):
    register(_heuristic)
