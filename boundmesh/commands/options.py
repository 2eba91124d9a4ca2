"""The options that several commands share, with the words `--help` shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from boundmesh.settings import Branching, DType, Method, Offload, Schedule

REGION, RUN, RESULTS = "Which inputs", "How to run", "Results"

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
Point = Annotated[
    Path | None,
    typer.Option(
        "--input", metavar="FILE.npy", help="A point, instead of SPEC.", rich_help_panel=REGION
    ),
]
Radius = Annotated[
    str | None,
    typer.Option(
        "--eps",
        metavar="R",
        help="Radius around it, as in 0.03 or 8/255, which is read exactly.",
        rich_help_panel=REGION,
    ),
]
RadiusNorm = Annotated[
    float,
    typer.Option(
        "--norm", metavar="inf|2|1", help="The norm of the radius.", rich_help_panel=REGION
    ),
]
Clip = Annotated[
    str | None,
    typer.Option(
        metavar="LO,HI", help="Cut the inputs to this range, as in 0,1.", rich_help_panel=REGION
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
        help="The most numbers in a tile of rows; smaller tiles take less memory and more time.",
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
        help="Write only warnings and errors to standard error.",
        callback=_rather_than("verbose"),
        rich_help_panel=RESULTS,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Write also where defaults come from, and each second how far the stage is.",
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
