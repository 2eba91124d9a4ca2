"""Defines a plan: what is bounded, on which devices, and the memory and time that this takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from boundmesh.plan.machine import Machine
from boundmesh.plan.neurons import Unstable
from boundmesh.plan.rehearsal import Bounding
from boundmesh.plan.terms import Term
from boundmesh.plan.work import Work
from boundmesh.proof.ladder import AUTO
from boundmesh.runtime.memory import gibibytes

PER_HOST = 8
"""So many GPUs or fewer are taken to be of one host and to read each other's memory."""


@dataclass(frozen=True)
class Ranks:
    """The devices among which a run is divided.

    least, most  the smallest and the largest number of shards that is planned
    schedule     one of settings.SCHEDULES
    offload      one of settings.OFFLOADS
    per_host     how many GPUs of one host read each other's memory
    """

    least: int = 1
    most: int = 1
    schedule: str = "auto"
    offload: str = "none"
    per_host: int = PER_HOST

    @property
    def counts(self) -> list[int]:
        """The powers of two in the range, and its ends."""
        powers = [2**k for k in range(self.most.bit_length()) if self.least < 2**k < self.most]
        return sorted({self.least, *powers, self.most})


ONE_DEVICE = Ranks()


@dataclass(frozen=True)
class Prediction:
    """The prediction for one number of shards.

    shards    how many devices hold the network together
    schedule  one, gather or exchange
    peak      the bytes of all tensors at the peak, on the rank that holds most
    terms     the bytes of each term at the peak
    stages    the work of each stage: the sweeps from every start node, then one iteration
    seconds   the estimated time
    """

    shards: int
    schedule: str
    peak: float
    terms: Mapping[Term, float]
    stages: Mapping[str, Work]
    seconds: float


@dataclass(frozen=True)
class TileSize:
    """The tiles of the rows of one start node.

    start   the name of the start node
    rows    how many rows are bounded
    height  the rows of a tile
    length  the numbers of the longest row on its way to the input
    """

    start: str
    rows: int
    height: int
    length: int


@dataclass(frozen=True)
class Search:
    """The domains of a search that splits neurons, which `--method auto` adds to the bounds.

    batch         how many domains a rank bounds at a time
    domain_bytes  what an open domain takes in host memory, for clauses of one condition
    """

    batch: int
    domain_bytes: int


@dataclass(frozen=True, repr=False)
class Plan:
    """A prediction of what bounds take, for several numbers of shards.

    bounding  what is bounded
    unstable  how many neurons are taken to be unstable
    machine   the device
    memory    the bytes of each device (None: not given)
    lines     the predictions, by rising number of shards
    least     the least number of shards in the range that fits (None: none does, or no memory)
    tiles     the tiles of every start node, and of the output last
    search    the domains of a search, where the method is `auto`
    """

    bounding: Bounding
    unstable: Unstable
    machine: Machine
    memory: int | None
    lines: tuple[Prediction, ...]
    least: int | None
    tiles: tuple[TileSize, ...]
    search: Search | None = None

    def __repr__(self) -> str:
        sizes = [f"{gibibytes(line.peak)} on {line.shards}" for line in self.lines]
        shown = ", ".join([*sizes[:2], "…", sizes[-1]] if len(sizes) > 3 else sizes)
        verdict = "" if self.memory is None else f", fits={self.fits}, least={self.least}"
        return f"Plan({self.bounding.method}: {shown}{verdict})"

    @property
    def fits(self) -> bool:
        """True if some planned number of shards fits, or no memory was given."""
        return self.memory is None or self.least is not None

    def needed(self, line: Prediction) -> float:
        """Return the bytes that a device needs: tensors, and what the device keeps for itself."""
        return line.peak + self.machine.reserve

    def holds(self, line: Prediction) -> bool:
        """Return True if the prediction fits into the memory, or if none was given."""
        return self.memory is None or self.needed(line) <= self.memory


def methods_of(bounding: Bounding) -> tuple[str, ...]:
    """Return the methods that a run uses one after the other."""
    return AUTO if bounding.method == "auto" else (bounding.method,)
