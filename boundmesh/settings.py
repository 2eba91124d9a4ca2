"""The options of a run, one frozen dataclass per stage. They are built once and passed down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from boundmesh.errors import BoundmeshError
from boundmesh.mesh_shape import MeshShape, parse_mesh
from boundmesh.ranges import (
    COUNT,
    POSITIVE,
    RATE,
    SECONDS,
    SHARE,
    Number,
    OneOf,
    Ranges,
    read_all,
    shown,
)

OutputMethod = Literal["ibp", "crown-ibp", "crown", "alpha-crown"]
Method = Literal["auto", OutputMethod]
DType = Literal["float32", "float64"]
Branching = Literal["auto", "babsr", "fsb", "input"]
DTYPES: tuple[str, ...] = get_args(DType)
# The names that settings accept. The methods and heuristics themselves are in the tables METHODS
# of `bounds/methods/table.py` and BRANCHING of `search/branching/table.py`, which import torch and
# are not imported here; they add the name of whatever else is registered there.
METHOD_NAMES: list[str] = [*get_args(Method)]
BRANCHING_NAMES: list[str] = [*get_args(Branching)]
Schedule = Literal["auto", "gather", "exchange"]
Offload = Literal["none", "weights"]
ROUNDINGS = ("auto", "real", "float64", "float32", "tf32", "float16", "bfloat16", "trust")
SCHEDULES: tuple[str, ...] = get_args(Schedule)
OFFLOADS: tuple[str, ...] = get_args(Offload)
# More threads make no machine faster on one network, and starting them can fail.
MOST_THREADS = 1024


@dataclass(frozen=True)
class AttackSettings:
    """Options of the search for a counterexample by projected gradient descent.

    restarts  random starts per case; 0 means that there is no attack
    steps     gradient steps from each start
    """

    restarts: int = 30
    steps: int = 50

    def __post_init__(self) -> None:
        read_all(self, {"restarts": COUNT, "steps": POSITIVE})


@dataclass(frozen=True)
class BoundSettings:
    """How output bounds are computed.

    method         one of METHOD_NAMES; `auto` goes from cheap to tight until the answer is known
    iterations     gradient steps of α-CROWN
    learning_rate  the length of α-CROWN's first step
    decay          the factor that the learning rate is multiplied by after each iteration
    tile_elements  the largest tile, in elements: rows in flight times the longest row
    """

    method: Method = "auto"
    iterations: int = 20
    learning_rate: float = 0.2
    decay: float = 0.98
    tile_elements: int = 2**23

    def __post_init__(self) -> None:
        ranges: Ranges = {
            "method": OneOf(METHOD_NAMES),
            "iterations": COUNT,
            "learning_rate": RATE,
        }
        read_all(self, {**ranges, "decay": SHARE, "tile_elements": POSITIVE})


@dataclass(frozen=True)
class BranchSettings:
    """How branch and bound splits the regions of a property until it is decided.

    branching     one of BRANCHING_NAMES; `auto` chooses by the network and its region
    batch         domains that each rank bounds at a time; None means as many as suit its device
    ascent_steps  joint gradient steps of α and β for each domain
    alpha_rate    the learning rate of α
    beta_rate     the learning rate of β
    levels        splits of a domain that are made at once, at most, while the frontier is small
    tries         once the frontier is large, the number of best candidates whose children are
                  bounded to choose among them
    refinements   how often a long search is begun anew, at most, with sharper bounds of the start
                  nodes
    """

    branching: Branching = "auto"
    batch: int | None = None
    ascent_steps: int = 20
    alpha_rate: float = 0.2
    beta_rate: float = 1.0
    levels: int = 5
    tries: int = 3
    refinements: int = 4

    def __post_init__(self) -> None:
        ranges: Ranges = {
            "branching": OneOf(BRANCHING_NAMES),
            "batch": Number(True, 1, optional=True),
        }
        rates = {"alpha_rate": RATE, "beta_rate": RATE, "refinements": COUNT}
        counts = dict.fromkeys(("ascent_steps", "levels", "tries"), POSITIVE)
        read_all(self, {**ranges, **rates, **counts})


@dataclass(frozen=True)
class Layout:
    """How a run is divided among devices.

    shards    devices that hold the network together and work in step; they form a group
    domains   groups; each searches domains of its own
    schedule  one of SCHEDULES
    offload   what is kept in host memory, one of OFFLOADS
    """

    shards: int = 1
    domains: int = 1
    schedule: Schedule = "auto"
    offload: Offload = "none"

    def __post_init__(self) -> None:
        ranges: Ranges = {"schedule": OneOf(SCHEDULES), "offload": OneOf(OFFLOADS)}
        read_all(self, {"shards": POSITIVE, "domains": POSITIVE, **ranges})

    @staticmethod
    def of(mesh: str, schedule: Schedule = "auto", offload: Offload = "none") -> Layout:
        """Make the layout of a mesh in text form, such as `shards=2,domains=4`.

        Raises BoundmeshError for a mesh, schedule or offload of another form.
        """
        shape = parse_mesh(mesh)
        return Layout(shape.shards, shape.domains, schedule, offload)

    @property
    def shape(self) -> MeshShape:
        return MeshShape(self.shards, self.domains)


@dataclass(frozen=True)
class Settings:
    """All options of one run.

    timeout   the limit of time in seconds; None means no limit
    device    auto, cpu or cuda[:i]
    dtype     the dtype that bounds are computed in, one of DTYPES
    rounding  the arithmetics that a verdict must hold in: names of ROUNDINGS, joined by +
    seed      the seed of every random number
    threads   the threads of the CPU; None means one for a small network, else one per core
    attack    the options of the attack
    bounds    the options of the bounds
    branch    the options of branch and bound
    layout    how the run is divided among devices
    """

    timeout: float | None = None
    device: str = "auto"
    dtype: DType = "float32"
    rounding: str = "auto"
    seed: int = 0
    threads: int | None = None
    attack: AttackSettings = field(default_factory=AttackSettings)
    bounds: BoundSettings = field(default_factory=BoundSettings)
    branch: BranchSettings = field(default_factory=BranchSettings)
    layout: Layout = field(default_factory=Layout)

    def __post_init__(self) -> None:
        for name, kind in STAGES.items():
            part = self.__dict__[name]
            if not isinstance(part, kind):
                raise BoundmeshError(f"{name} is {shown(part)}; expected {kind.__name__}(…)")
        if not isinstance(self.device, str):
            raise BoundmeshError(
                f"device is {shown(self.device)}; expected the text auto, cpu or cuda[:i]"
            )
        threads = Number(True, 1, MOST_THREADS, optional=True)
        ranges: Ranges = {
            "timeout": SECONDS,
            "dtype": OneOf(DTYPES),
            "seed": COUNT,
            "threads": threads,
        }
        read_all(self, ranges)
        rounding_words(self.rounding)


STAGES: dict[str, Any] = {
    "attack": AttackSettings,
    "bounds": BoundSettings,
    "branch": BranchSettings,
    "layout": Layout,
}


def rounding_words(rounding: str) -> tuple[str, ...]:
    """Split `rounding`, such as `real+float32`, into its names.

    Raises BoundmeshError for a name that is not one of ROUNDINGS.
    """
    words = tuple(rounding.replace(",", "+").split("+")) if isinstance(rounding, str) else ()
    alone = len(words) == 1 or not {"auto", "trust"} & set(words)
    if not words or not alone or not set(words) <= set(ROUNDINGS):
        raise BoundmeshError(
            f"rounding is {shown(rounding)}; expected {' '.join(ROUNDINGS)}, or several of them "
            "but auto and trust joined by +"
        )
    return words
