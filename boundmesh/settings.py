"""What a user can choose, one frozen dataclass per stage; built once, passed down, kept."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from boundmesh.errors import BoundmeshError
from boundmesh.shape import MeshShape, parse_mesh

Method = Literal["auto", "ibp", "crown-ibp", "crown", "alpha-crown"]
OutputMethod = Literal["ibp", "crown-ibp", "crown", "alpha-crown"]
DType = Literal["float32", "float64"]
Branching = Literal["auto", "babsr", "fsb", "input"]
METHODS: tuple[str, ...] = get_args(Method)
DTYPES: tuple[str, ...] = get_args(DType)
BRANCHINGS: tuple[str, ...] = get_args(Branching)
Schedule = Literal["auto", "gather", "exchange"]
Offload = Literal["none", "weights"]
ROUNDINGS = ("auto", "real", "float64", "float32", "tf32", "float16", "bfloat16", "trust")
SCHEDULES: tuple[str, ...] = get_args(Schedule)
OFFLOADS: tuple[str, ...] = get_args(Offload)


@dataclass(frozen=True)
class AttackSettings:
    """The search for a counterexample by projected gradient descent, before any bound.

    `restarts` random starts per case, `steps` gradient steps each; 0 restarts: no attack.
    """

    restarts: int = 30
    steps: int = 50


@dataclass(frozen=True)
class BoundSettings:
    """How output bounds are computed.

    `method` is one of METHODS; `auto` goes from cheap to tight until the property is decided.
    `iterations`, `learning_rate` and `decay` (per iteration) belong to α-CROWN's ascent.
    `tile_elements` limits a tile: rows in flight times the longest row, in elements.
    """

    method: Method = "auto"
    iterations: int = 20
    learning_rate: float = 0.2
    decay: float = 0.98
    tile_elements: int = 2**23


@dataclass(frozen=True)
class BranchSettings:
    """How undecided properties are split until they are decided.

    `branching` is one of BRANCHINGS; `auto` chooses from the graph's facts. `batch` domains are
    bounded at a time by each rank (None: as many as suit its device), each by `ascent_steps`
    joint steps of α and β at `alpha_rate` and `beta_rate`. While the frontier is small up to
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


@dataclass(frozen=True)
class Layout:
    """How a run lies on devices: `shards` of them hold the network together and work in step;
    `domains` such groups search parts of their own. `schedule` is one of SCHEDULES, `offload`, what
    to keep in host memory, one of OFFLOADS."""

    shards: int = 1
    domains: int = 1
    schedule: Schedule = "auto"
    offload: Offload = "none"

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
        _require(self.bounds.method in METHODS, "method", self.bounds.method, " ".join(METHODS))
        _require(
            self.branch.branching in BRANCHINGS,
            "branching",
            self.branch.branching,
            " ".join(BRANCHINGS),
        )
        schedule, offload = self.layout.schedule, self.layout.offload
        lengths = self.layout.shards, self.layout.domains
        _require(min(lengths) >= 1, "mesh", str(self.layout.shape), "shards ≥ 1 and domains ≥ 1")
        _require(schedule in SCHEDULES, "schedule", schedule, " ".join(SCHEDULES))
        _require(offload in OFFLOADS, "offload", offload, " ".join(OFFLOADS))
        _require(self.dtype in DTYPES, "dtype", self.dtype, " ".join(DTYPES))
        rounding_words(self.rounding)
        _require(self.timeout is None or self.timeout > 0, "timeout", self.timeout, "seconds > 0")
        _require(self.threads is None or self.threads > 0, "threads", self.threads, "a number > 0")
        _require(self.bounds.iterations >= 0, "iterations", self.bounds.iterations, "a number ≥ 0")
        _require(self.bounds.tile_elements > 0, "tile_elements", self.bounds.tile_elements, "> 0")
        _require(self.attack.restarts >= 0, "restarts", self.attack.restarts, "a number ≥ 0")
        _require(self.attack.steps > 0, "steps", self.attack.steps, "a number > 0")


def rounding_words(rounding: str) -> tuple[str, ...]:
    """The arithmetics of `rounding`, such as `real+float32`; BoundmeshError for others."""
    words = tuple(str(rounding).replace(",", "+").split("+"))
    known = all(word in ROUNDINGS for word in words)
    alone = len(words) == 1 or not {"auto", "trust"} & set(words)
    expected = " ".join(ROUNDINGS) + ", or several but auto and trust joined by +"
    _require(known and alone, "rounding", rounding, expected)
    return words


def with_options(
    settings: Settings, *, mesh: str | Layout | None = None, **options: Any
) -> Settings:
    """`settings` with options replaced by name, wherever they live: `timeout=60, method="crown"`.

    `mesh` is a Layout, or the words of `--mesh`. Raises BoundmeshError for a name that no stage has
    and for a value out of range.
    """
    if isinstance(mesh, Layout):
        settings = replace(settings, layout=mesh)
    elif mesh is not None:
        chosen = settings.layout
        settings = replace(settings, layout=Layout.of(mesh, chosen.schedule, chosen.offload))
    stages: dict[str, Any] = {
        "attack": settings.attack,
        "bounds": settings.bounds,
        "branch": settings.branch,
        "layout": settings.layout,
    }
    homes = {f.name: stage for stage, part in stages.items() for f in fields(part)}
    own = {f.name for f in fields(settings)}
    if unknown := sorted(set(options) - own - set(homes)):
        known = " ".join(sorted((own - set(stages)) | set(homes) | {"mesh"}))
        raise BoundmeshError(f"no option is called {', '.join(unknown)}; options are: {known}")
    parts = {
        stage: replace(part, **{n: v for n, v in options.items() if homes.get(n) == stage})
        for stage, part in stages.items()
    }
    return replace(settings, **parts, **{n: v for n, v in options.items() if n in own})


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise BoundmeshError(f"{name} is {value!r}; expected {expected}")
