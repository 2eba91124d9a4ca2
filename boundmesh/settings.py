"""What a user can choose, one frozen dataclass per stage; built once, passed down, kept."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from boundmesh.errors import BoundmeshError
from boundmesh.mesh_shape import MeshShape, parse_mesh
from boundmesh.ranges import (
    COUNT,
    POSITIVE,
    RATE,
    SECONDS,
    SHARE,
    Choice,
    Number,
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
# No machine gains from more threads for one network, and starting them can fail.
MOST_THREADS = 1024


@dataclass(frozen=True)
class AttackSettings:
    """The search for a counterexample by projected gradient descent, before any bound.

    `restarts` random starts per case, `steps` gradient steps each; 0 restarts: no attack.
    """

    restarts: int = 30
    steps: int = 50

    def __post_init__(self) -> None:
        read_all(self, {"restarts": COUNT, "steps": POSITIVE})


@dataclass(frozen=True)
class BoundSettings:
    """How output bounds are computed.

    `method` is one of METHOD_NAMES; `auto` goes from cheap to tight until the property is decided.
    `iterations`, `learning_rate` and `decay` (per iteration) belong to α-CROWN's ascent.
    `tile_elements` limits a tile: rows in flight times the longest row, in elements.
    """

    method: Method = "auto"
    iterations: int = 20
    learning_rate: float = 0.2
    decay: float = 0.98
    tile_elements: int = 2**23

    def __post_init__(self) -> None:
        ranges: Ranges = {
            "method": Choice(METHOD_NAMES),
            "iterations": COUNT,
            "learning_rate": RATE,
        }
        read_all(self, {**ranges, "decay": SHARE, "tile_elements": POSITIVE})


@dataclass(frozen=True)
class BranchSettings:
    """How undecided properties are split until they are decided.

    `branching` is one of BRANCHING_NAMES; `auto` chooses from the facts of the graph. `batch`
    domains are bounded at a time by each rank (None: as many as suit its device), by `ascent_steps`
    joint steps of α and β each, at `alpha_rate` and `beta_rate`. While the frontier is small, up to
    `levels` splits are made at once; otherwise the `tries` best candidates are tried by bounding
    their children. A search that takes long is begun anew up to `refinements` times, with sharper
    bounds of the start nodes.
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
            "branching": Choice(BRANCHING_NAMES),
            "batch": Number(True, 1, optional=True),
        }
        rates = {"alpha_rate": RATE, "beta_rate": RATE, "refinements": COUNT}
        counts = dict.fromkeys(("ascent_steps", "levels", "tries"), POSITIVE)
        read_all(self, {**ranges, **rates, **counts})


@dataclass(frozen=True)
class Layout:
    """How a run lies on devices: `shards` of them hold the network together and work in step;
    `domains` such groups search parts of their own. `schedule` is one of SCHEDULES, `offload`, what
    to keep in host memory, one of OFFLOADS."""

    shards: int = 1
    domains: int = 1
    schedule: Schedule = "auto"
    offload: Offload = "none"

    def __post_init__(self) -> None:
        ranges: Ranges = {"schedule": Choice(SCHEDULES), "offload": Choice(OFFLOADS)}
        read_all(self, {"shards": POSITIVE, "domains": POSITIVE, **ranges})

    @staticmethod
    def of(mesh: str, schedule: Schedule = "auto", offload: Offload = "none") -> Layout:
        """The layout whose mesh is in words: `shards=2,domains=4`; BoundmeshError for others."""
        shape = parse_mesh(mesh)
        return Layout(shape.shards, shape.domains, schedule, offload)

    @property
    def shape(self) -> MeshShape:
        return MeshShape(self.shards, self.domains)


@dataclass(frozen=True)
class Settings:
    """One run.

    timeout   seconds (None: no limit)
    device    auto, cpu or cuda[:i]
    dtype     one of DTYPES: what bounds are computed in
    rounding  the arithmetics that a verdict holds in: of ROUNDINGS, joined by +
    seed      of every random number
    threads   of the CPU (None: one for a small network, else one per core)
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
            "dtype": Choice(DTYPES),
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
    """The arithmetics of `rounding`, such as `real+float32`; BoundmeshError for others."""
    words = tuple(rounding.replace(",", "+").split("+")) if isinstance(rounding, str) else ()
    alone = len(words) == 1 or not {"auto", "trust"} & set(words)
    if not words or not alone or not set(words) <= set(ROUNDINGS):
        raise BoundmeshError(
            f"rounding is {shown(rounding)}; expected {' '.join(ROUNDINGS)}, or several of them "
            "but auto and trust joined by +"
        )
    return words


def with_options(
    settings: Settings, *, mesh: str | Layout | None = None, **options: Any
) -> Settings:
    """`settings` with options replaced by name, wherever they live: `timeout=60, method="crown"`.

    `mesh` is a Layout, or the words of `--mesh`. Raises BoundmeshError for a name that no stage has
    and for a value out of range.
    """
    if not isinstance(settings, Settings):
        raise BoundmeshError(f"settings is {shown(settings)}; expected boundmesh.Settings(…)")
    if isinstance(mesh, Layout):
        settings = replace(settings, layout=mesh)
    elif mesh is not None:
        if not isinstance(mesh, str):
            raise BoundmeshError(
                f"mesh is {shown(mesh)}; expected a Layout or words such as shards=2,domains=4"
            )
        chosen = settings.layout
        settings = replace(settings, layout=Layout.of(mesh, chosen.schedule, chosen.offload))
    homes = {f.name: stage for stage, kind in STAGES.items() for f in fields(kind)}
    own = {f.name for f in fields(settings)}
    if unknown := sorted(set(options) - own - set(homes)):
        known = " ".join(sorted((own - set(STAGES)) | set(homes) | {"mesh"}))
        raise BoundmeshError(f"no option is called {', '.join(unknown)}; options are: {known}")
    settings = replace(settings, **{n: v for n, v in options.items() if n in own})
    parts = {
        stage: replace(
            settings.__dict__[stage], **{n: v for n, v in options.items() if homes.get(n) == stage}
        )
        for stage in STAGES
    }
    return replace(settings, **parts)
