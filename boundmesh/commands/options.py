"""The options that several commands share, with the words `--help` shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from boundmesh.errors import BoundmeshError, ReadError
from boundmesh.settings import Branching, DType, Method, Offload, Schedule

RUN, RESULTS = "How to run", "Results"

Network = Annotated[
    list[str] | None,
    typer.Option(
        "--network",
        metavar="[NAME=]FILE",
        help="The network, .onnx or .onnx.gz; NAME is what the property calls it.",
    ),
]
Shape = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="INPUT=1,3,H,W",
        help="The shape of an input whose lengths the network leaves open, where the property "
        "does not declare it.",
    ),
]
MethodOption = Annotated[
    Method,
    typer.Option(
        "--method",
        help="How bounds are computed; auto goes from cheap to tight.",
        rich_help_panel=RUN,
    ),
]
BranchingOption = Annotated[
    Branching,
    typer.Option(
        "--branching",
        help="What --method auto splits where bounds do not suffice; auto chooses by the network.",
        rich_help_panel=RUN,
    ),
]
Iterations = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="Steps of α-CROWN's optimisation.", rich_help_panel=RUN),
]
TileElements = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Most numbers in a tile of rows: smaller takes less memory and more time.",
        rich_help_panel=RUN,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda[:i]",
        help="Where to compute; auto takes a GPU where there is one.",
        rich_help_panel=RUN,
    ),
]
Mesh = Annotated[
    str,
    typer.Option(
        metavar="shards=N,domains=M",
        help="Share one problem among N·M devices: N hold the network together and bound in step; "
        "M such groups search parts of their own. Starts the ranks here, unless torchrun did.",
        rich_help_panel=RUN,
    ),
]
ScheduleOption = Annotated[
    Schedule,
    typer.Option(
        "--schedule",
        help="What moves on a mesh: weights (gather), rows (exchange), or what is less (auto).",
        rich_help_panel=RUN,
    ),
]
OffloadOption = Annotated[
    Offload,
    typer.Option("--offload", help="What to keep in host memory.", rich_help_panel=RUN),
]
DTypeOption = Annotated[
    DType, typer.Option("--dtype", help="Precision of the bounds.", rich_help_panel=RUN)
]
RoundingOption = Annotated[
    str,
    typer.Option(
        "--rounding",
        metavar="real|float32|…",
        help="The arithmetics that the answer holds in, joined by +: real, or the network as it "
        "runs in float64, float32, tf32, float16 or bfloat16. auto takes VNN-LIB's types, "
        "else real; trust counts no rounding.",
        rich_help_panel=RUN,
    ),
]
Seed = Annotated[
    int, typer.Option(metavar="N", help="Seed of every random number.", rich_help_panel=RUN)
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="CPU threads; equal numbers give equal bits. Default: one for a small network, "
        "else one per core.",
        rich_help_panel=RUN,
    ),
]
Json = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", help="Write the result as JSON to FILE.", rich_help_panel=RESULTS
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        help="Write a page for people: the question, the answer, and how it was found.",
        rich_help_panel=RESULTS,
    ),
]


def _rather_than(other: str) -> Callable[[typer.Context, typer.CallbackParam, bool], bool]:
    """Return a callback that drops the configured default of the opposite option `other`.

    It does so only if its own option is on the command line: `--quiet` drops a default `verbose`.
    """

    def take_back(context: typer.Context, option: typer.CallbackParam, value: bool) -> bool:
        source = context.get_parameter_source(str(option.name))
        if value and source is not None and source.name == "COMMANDLINE" and context.default_map:
            context.default_map.pop(other, None)
        return value

    return take_back


Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Only warnings and errors on standard error.",
        callback=_rather_than("verbose"),
        rich_help_panel=RESULTS,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Also where defaults come from, and each second how far the stage is.",
        callback=_rather_than("quiet"),
        rich_help_panel=RESULTS,
    ),
]
LogFile = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="Append all that --verbose shows to FILE, with the time of each line.",
        rich_help_panel=RESULTS,
    ),
]


FromStart = Annotated[
    bool,
    typer.Option(
        "--timeout-from-start",
        help="Count the start of the process into the timeout, as competitions do.",
        rich_help_panel=RUN,
    ),
]


def check_order(
    command: str, words: list[str], spec: str | None, networks: list[str] | None
) -> None:
    """Raise BoundmeshError where network and property are swapped, or arguments are left over.

    `words` are the arguments left over. The message shows the call in its right form. Only the
    names of the files are compared: a file with an unusual name is read as given.
    """
    given = [word for word in (spec, *words, *(networks or [])) if word is not None]
    found = {
        kind: next((word for word in given if _looks_like(kind, Path(word))), None)
        for kind in (".vnnlib", ".onnx")
    }
    prop, network = found[".vnnlib"] or "SPEC.vnnlib", found[".onnx"] or "FILE.onnx"
    usage = f"the right order is: boundmesh {command} {prop} --network {network}"
    if spec is not None and _looks_like(".onnx", Path(spec)) and (found[".vnnlib"] or not networks):
        raise BoundmeshError(f"{spec} is a network and stands in the property's place; {usage}")
    if words:
        if _looks_like(".onnx", Path(words[0])) and not networks:
            raise BoundmeshError(f"{words[0]} is a network without --network before it; {usage}")
        raise BoundmeshError(f"'{words[0]}' is one word too many; {usage}")
    for value in networks or []:
        if _looks_like(".vnnlib", Path(value)):
            raise BoundmeshError(f"--network is {value}, which is a property; {usage}")


def _looks_like(suffix: str, file: Path) -> bool:
    return file.name.removesuffix(".gz").endswith(suffix)


def one_network(values: list[str] | None) -> tuple[str | None, Path]:
    """Return the name (or None) and the file of the one `--network`.

    Raises BoundmeshError where there is none, or more than one.
    """
    values = values or []
    if len(values) != 1:
        raise BoundmeshError(
            f"--network was given {len(values)} times; a query has one network here: give it once"
        )
    (value,) = values
    name, sign, file = value.partition("=")
    if sign and name.replace("_", "a").isalnum() and not _exists(Path(value)):
        return name, Path(file)
    return None, Path(value)


def shapes_of(values: list[str] | None) -> dict[str, tuple[int, ...]]:
    """Return the shapes that `--shape INPUT=1,3,48,192` gives, by the input's name.

    Raises BoundmeshError for anything else.
    """
    found = {}
    for value in values or []:
        name, sign, text = value.rpartition("=")
        lengths = text.replace("x", ",").split(",")
        if not sign or not name or not all(length.strip().isdigit() for length in lengths):
            raise BoundmeshError(
                f"--shape is {value}; expected the input's name and whole numbers, as in "
                "--shape input=1,3,48,192"
            )
        found[name] = tuple(int(length) for length in lengths)
    return found


def all_networks(values: list[str] | None) -> dict[str | None, Path]:
    """Return the file of each `--network`, by its name; the key None stands for no name.

    Raises BoundmeshError where there is none, or two have one name.
    """
    found: dict[str | None, Path] = {}
    for value in values or []:
        name, file = one_network([value])
        if name in found:
            which = "without a name" if name is None else f"named '{name}'"
            raise BoundmeshError(
                f"--network was given twice {which}; where a query has several networks, give each "
                "as --network NAME=FILE"
            )
        found[name] = file
    if not found:
        one_network([])
    return found


def check_readable(*files: Path | None) -> None:
    """Check before torch is imported that no file is missing."""
    for file in files:
        if file is not None and not _exists(file):
            raise ReadError(f"{file}: there is no such file")


def _exists(file: Path) -> bool:
    """Return True if the file exists; a name that the system refuses belongs to no file."""
    try:
        return file.exists()
    except (OSError, ValueError):
        return False


def check_writable(option: str, file: Path | None) -> None:
    """Check before the work that a result can be written."""
    if file is not None and not _exists(file.absolute().parent):
        raise BoundmeshError(f"{option}: cannot write {file}: there is no folder {file.parent}")
    if file is not None and _exists(file) and file.is_dir():
        raise BoundmeshError(f"{option}: cannot write {file}: it is a folder")
