"""The heuristics that choose the neurons to split, by name."""

from __future__ import annotations

from boundmesh.register import Register
from boundmesh.search.branching.babsr import BABSR
from boundmesh.search.branching.fsb import FSB
from boundmesh.search.branching.heuristic import Heuristic
from boundmesh.settings import BRANCHING_NAMES

# Words of `--branching` that name no heuristic: with them neurons, where they are split at all, are
# chosen by FSB.
OF_NO_HEURISTIC = ("auto", "input")
BRANCHING: Register[Heuristic] = Register("a heuristic", BRANCHING_NAMES, OF_NO_HEURISTIC)
register, remove = BRANCHING.register, BRANCHING.remove


def heuristic_of(branching: str) -> Heuristic:
    """Return the heuristic that a word of `--branching` chooses neurons with."""
    return FSB if branching in OF_NO_HEURISTIC else BRANCHING[branching]


for _heuristic in (BABSR, FSB):
    register(_heuristic)
