"""The whole story of `certify`: read, score, attack, bound, search. Start reading here."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from boundmesh.certify.account import Account
from boundmesh.certify.fixed import certify_at
from boundmesh.certify.inputs import (
    Inputs,
    array_of_inputs,
    classes_of,
    inputs_for,
    labels_of,
)
from boundmesh.certify.largest import Radii, find_largest
from boundmesh.certify.open import open_run
from boundmesh.certify.result import Certification
from boundmesh.certify.run import Run, scores_of
from boundmesh.certify.summary import summarized
from boundmesh.certify.workers import Searchers
from boundmesh.errors import BoundmeshError
from boundmesh.graph.forward import multiplications
from boundmesh.graph.graph import Graph
from boundmesh.models import load
from boundmesh.proof.memory import check_fits, memory_errors
from boundmesh.ranges import SECONDS, Number
from boundmesh.rational import radius_of
from boundmesh.read.agreement import agrees_with_source
from boundmesh.read.normalization import normalized
from boundmesh.runtime.clock import Clock, OutOfTime
from boundmesh.runtime.device import forget_peak, memory_of, name_of, peak_bytes, pin_threads
from boundmesh.runtime.history import Recorder
from boundmesh.runtime.progress import SILENT, Progress
from boundmesh.settings import MOST_THREADS, Settings

if TYPE_CHECKING:
    from boundmesh.models import Model

# So many regions, evenly spaced among all, are compared with ONNX Runtime.
COMPARED = 64
# An input with two scores nearer to each other than this share of the largest is replayed.
CLOSE = 1e-3
JOBS = Number(True, 1, MOST_THREADS)
TIMEOUT, INTERRUPTED = "timeout", "interrupted"


def certify(
    model: Model,
    inputs: Any,
    labels: Any = None,
    *,
    eps: Any,
    norm: Any = math.inf,
    clip: Any = None,
    mean: Any = None,
    std: Any = None,
    largest: bool = False,
    tolerance: Any = None,
    timeout_per_input: float | None = 10.0,
    jobs: int = 1,
    settings: Settings = Settings(),
    progress: Progress = SILENT,
) -> Certification:
    """Certify that changes of inputs leave their labels as they are; `api.certify` explains how.

    Raises BoundmeshError for everything that bad input can cause, before any verdict.
    """
    recorder = Recorder(progress)
    clock = Clock(settings.timeout, recorder)
    refuse_domains(settings)
    radius = radius_of(eps)
    within = radius_of(tolerance, "tolerance") if tolerance is not None else radius / 256
    limit = SECONDS.read("timeout_per_input", timeout_per_input) or math.inf
    jobs = JOBS.read("jobs", jobs)
    if jobs > 1 and settings.layout.shape.size > 1:
        raise BoundmeshError(
            "jobs divides searches among processes, and a mesh has its own; leave one of the two "
            "out"
        )
    torch.manual_seed(settings.seed)
    array = array_of_inputs(inputs)
    with clock.stage("read"):
        graph = normalized(load(model, array[:1]), mean, std)
    given = inputs_for(graph, array, norm, clip)
    run = prepared(graph, given, labels, radius, settings, clock)
    if jobs > 1 and run.layout.device.type != "cpu":
        raise BoundmeshError(
            f"jobs divides searches among processes on the CPU, and the device is "
            f"{run.layout.device}; leave jobs out, or use device cpu"
        )
    recorder.measure = partial(memory_of, run.layout.device)
    account, radii, ended = Account.of(run), Radii.of(len(given)), ""
    try:
        with memory_errors(graph, run.layout.device, settings), Searchers(run, jobs) as searchers:
            sort_out(run, account, labels is not None)
            if largest:
                find_largest(run, account, radii, radius, within, limit, searchers)
            else:
                certify_at(run, account, radius, limit, searchers)
    except OutOfTime:
        ended = TIMEOUT
    except KeyboardInterrupt:
        ended = INTERRUPTED
    return Certification(
        summarized(run, account, radii, radius, ended, largest),
        radius,
        given.norm,
        labels is not None,
        largest,
        dict(clock.seconds),
        clock.spent,
        peak_bytes(run.layout.device),
        ended,
        graph,
        given.points.reshape(len(given), *given.shape),
        given.clip,
        recorder.history(),
        settings,
        name_of(run.layout.device, settings.layout.shape.size),
    )


def refuse_domains(settings: Settings) -> None:
    """Raise BoundmeshError where a mesh of several groups was chosen."""
    if settings.layout.domains > 1:
        raise BoundmeshError(
            f"the mesh {settings.layout.shape} has several groups of domains, and certify bounds "
            "all inputs in one group; use shards, or run each group on a part of the inputs"
        )


def prepared(
    graph: Graph,
    inputs: Inputs,
    labels: Any,
    radius: float | Fraction,
    settings: Settings,
    clock: Clock,
) -> Run:
    """Check the network and load it onto the device; compute the scores of all inputs.

    Raises BoundmeshError where the network differs from ONNX Runtime, does not fit the device, or
    has no score for some label.
    """
    classes = classes_of(graph)
    wanted = None if labels is None else labels_of(labels, len(inputs), classes)
    pin_threads(settings, multiplications(graph))
    opened = open_run(graph, inputs, settings, clock)
    layout, clock.agree = opened.layout, opened.groups.agree
    forget_peak(layout.device)
    with clock.stage("check"):
        check_fits(graph, layout.device, settings)
        some = np.unique(np.linspace(0, len(inputs) - 1, COMPARED).astype(int)).tolist()
        regions = inputs.regions(some, [radius] * len(some))
        agrees_with_source(graph, regions, settings.seed, layout.dtype)
    with clock.stage("score"):
        scores = scores_of(opened.graph, layout, inputs)
    return opened.about(scores.argmax(1) if wanted is None else wanted, scores)


def sort_out(run: Run, account: Account, labelled: bool) -> None:
    """Find the inputs that have another class than their label without any change.

    ONNX Runtime confirms each. An input whose prediction is a tie is falsified by itself.
    """
    with run.clock.stage("score"):
        own = run.scores[np.arange(len(run.labels)), run.labels]
        others = run.scores.copy()
        others[np.arange(len(run.labels)), run.labels] = -np.inf
        close = others.max(1) >= own - CLOSE * np.abs(run.scores).max(1)
        for place in np.flatnonzero(close).tolist():
            run.clock.check()
            region, point = run.inputs.region(place, 0.0), run.inputs.points[place]
            found = run.confirmed(place, region, [point])
            if found is not None and labelled:
                account.misclassify(place, found)
            elif found is not None:
                account.falsify({place: found}, "score")
