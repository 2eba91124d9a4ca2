"""Reads what `boundmesh certify` is given, certifies the inputs, and tells what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from boundmesh.commands.certify_files import read_inputs
from boundmesh.commands.verify_run import less
from boundmesh.report.certify_console import CertifyConsole
from boundmesh.settings import Method, Settings

if TYPE_CHECKING:
    from boundmesh.certify.result import Certification


@dataclass(frozen=True)
class Request:
    """The files and options of a certification.

    model    the file of the network
    shapes   the shapes of inputs whose axes the file leaves open, by name
    inputs   the file or folder of the inputs
    labels   the file of the labels; None where there is none
    first    how many of the inputs are certified; None for all
    clip     the range to which changed inputs are cut, as it was written
    options  the options of `api.certify`, by name
    """

    model: Path
    shapes: Mapping[str, tuple[int, ...]]
    inputs: Path
    labels: Path | None
    first: int | None
    clip: str | None
    options: Mapping[str, Any]


def read_and_certify(
    request: Request, settings: Settings, began: float, progress: CertifyConsole
) -> tuple[Certification, Sequence[str]]:
    """Read the network and the inputs, and certify these; return the result and their names.

    `began` is the time at which the command began; reading counts towards the timeout.
    """
    progress.stage("start")
    # Imported here, since they bring torch.
    from boundmesh import api
    from boundmesh.report import certify_words, words

    progress.stage("read")
    graph = api.load(request.model, shapes=request.shapes)
    data = read_inputs(request.inputs, request.labels, request.first, graph)
    progress.say("network", f"{request.model.name}: {words.of_graph(graph)}")
    told = certify_words.of_inputs(
        request.inputs.name,
        data.inputs.shape,
        data.labels is not None,
        request.options["eps"],
        request.options["norm"],
        request.clip,
    )
    progress.say("inputs", told)
    progress.begin(len(data.inputs))
    result = api.certify(
        graph,
        data.inputs,
        data.labels,
        **request.options,
        settings=less(settings, perf_counter() - began),
        progress=progress,
    )
    return result, data.names


def tell(result: Certification, method: Method, began: float, progress: CertifyConsole) -> None:
    """Show what the verdicts come to, the seconds since `began`, and the memory."""
    from boundmesh.report import certify_words, words

    progress.finish()
    for line in certify_words.of_result(result, method):
        progress.say("", line)
    peak = words.of_bytes(result.peak_bytes)
    progress.say("done", f"{perf_counter() - began:.1f} s, peak memory {peak}")
