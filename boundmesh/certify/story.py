"""The whole story of `certify`: read, score, attack, bound, search. Start reading here."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from boundmesh.certify.account import Account
from boundmesh.certify.aim import Aim
from boundmesh.certify.fixed import certify_at
from boundmesh.certify.inputs import (
    Inputs,
    array_of_inputs,
    classes_of,
    inputs_for,
    labels_of,
)
from boundmesh.certify.largest import find_largest
from boundmesh.certify.open import open_run
from boundmesh.certify.radii import Radii
from boundmesh.certify.result import INTERRUPTED, TIMEOUT, Certification
from boundmesh.certify.run import CertifyRun, Radius, scores_of
from boundmesh.certify.summary import result_of
from boundmesh.certify.workers import Searchers
from boundmesh.graph.forward import multiplications
from boundmesh.graph.graph import Graph
from boundmesh.models import load
from boundmesh.proof.memory import check_fits, memory_errors
from boundmesh.read.agreement import agrees_with_source
from boundmesh.read.normalization import normalized
from boundmesh.runtime.clock import Clock, OutOfTime
from boundmesh.runtime.device import forget_peak, memory_of, pin_threads
from boundmesh.runtime.history import Recorder
from boundmesh.runtime.progress import SILENT, Progress
from boundmesh.settings import Settings

if TYPE_CHECKING:
    from boundmesh.models import Model

# So many regions, evenly spaced among all, are compared with ONNX Runtime.
COMPARED = 64
# An input with two scores nearer to each other than this share of the largest is replayed.
CLOSE = 1e-3


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
    asked = eps, tolerance, timeout_per_input, jobs, settings
    aim = Aim.of(*asked, largest=largest, labelled=labels is not None)
    torch.manual_seed(settings.seed)
    array = array_of_inputs(inputs)
    with clock.stage("read"):
        graph = normalized(load(model, array[:1]), mean, std)
    given = inputs_for(graph, array, norm, clip)
    run = prepared(graph, given, labels, aim.radius, settings, clock)
    device = run.layout.device
    aim.check_device(device)
    recorder.measure = partial(memory_of, device)
    account, radii = Account.of(run), Radii.of(len(given))
    with memory_errors(graph, device, settings):
        ended = decide(run, account, radii, aim)
    return result_of(run, account, radii, aim, ended, graph, recorder.history())


def decide(run: CertifyRun, account: Account, radii: Radii, aim: Aim) -> str:
    """Enter the verdicts and radii of all inputs; return why the run ended early, or nothing."""
    try:
        with Searchers(run, aim.jobs) as searchers:
            sort_out(run, account, aim.labelled)
            if aim.largest:
                facts = aim.radius, aim.tolerance, aim.limit
                find_largest(run, account, radii, *facts, searchers)
            else:
                certify_at(run, account, aim.radius, aim.limit, searchers)
    except OutOfTime:
        return TIMEOUT
    except KeyboardInterrupt:
        return INTERRUPTED
    return ""


def prepared(
    graph: Graph,
    inputs: Inputs,
    labels: Any,
    radius: Radius,
    settings: Settings,
    clock: Clock,
) -> CertifyRun:
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


def sort_out(run: CertifyRun, account: Account, labelled: bool) -> None:
    """Find the inputs that have another class than their label without any change.

    ONNX Runtime confirms each. An input whose prediction is a tie is falsified by itself.
    """
    with run.clock.stage("score"):
        own_scores = run.scores[np.arange(len(run.labels)), run.labels]
        others = run.scores.copy()
        others[np.arange(len(run.labels)), run.labels] = -np.inf
        close = others.max(1) >= own_scores - CLOSE * np.abs(run.scores).max(1)
        for index in np.flatnonzero(close).tolist():
            run.clock.check()
            region, point = run.inputs.region(index, 0.0), run.inputs.points[index]
            found = run.confirmed(index, region, [point])
            if found is not None and labelled:
                account.misclassify(index, found)
            elif found is not None:
                account.falsify({index: found}, "score")
