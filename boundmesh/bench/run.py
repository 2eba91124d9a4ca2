"""Decides one instance after another in one warm process, even after an instance failed."""

from __future__ import annotations

import re
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

from boundmesh import api
from boundmesh.bench.ending import Ending
from boundmesh.bench.instances import Instance
from boundmesh.bench.process import recover
from boundmesh.errors import BoundmeshError, DeviceError
from boundmesh.graph.graph import Graph
from boundmesh.mesh.runtime.open import device_for
from boundmesh.read import onnx
from boundmesh.read.open_axes import DeclaredShapes, declared_in
from boundmesh.report import results
from boundmesh.report.records import Record
from boundmesh.runtime.device import name_of
from boundmesh.runtime.progress import Fact, Progress
from boundmesh.settings import OutputMethod, Settings
from boundmesh.verdict import POSITIVE, Falsified, TimedOut, Unknown, Verdict, Verified

FOREVER = float("inf")
MIB = 2**20
# The stages that can prove a property, from cheap to tight. A proof needed the tightest stage that
# was entered.
TIGHTNESS = (
    "read",
    "check",
    *get_args(OutputMethod),
    "float64",
    "refine",
    "branch",
)


class Networks:
    """Loads networks, and keeps each as long as a later instance needs it."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._wanted = Counter(files)
        self._graphs: dict[Path, tuple[DeclaredShapes, Graph]] = {}

    def __call__(self, file: Path, declared: DeclaredShapes) -> Graph:
        """Return the network in a file, with the shapes that its property declares.

        Raises the errors of `onnx.load`.
        """
        self._wanted[file] -= 1
        former, graph = self._graphs.pop(file, (declared, None))
        if graph is None or former != declared:
            graph = declared.opened(lambda known: onnx.load(file, lengths=known))
        if self._wanted[file] > 0:
            self._graphs[file] = declared, graph
        return graph


class Stages:
    """Passes progress on and remembers which stages were entered."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.entered = ["read"]

    def stage(self, name: str, detail: str = "") -> None:
        self.entered.append(name)
        self._progress.stage(name, detail)

    def update(self, **facts: Fact) -> None:
        self._progress.update(**facts)

    def warn(self, text: str) -> None:
        self._progress.warn(text)

    def deciding(self, verdict: Verdict) -> str:
        """Return the stage that a verdict comes from: for a proof the tightest, else the last."""
        if isinstance(verdict, Verified):
            bounding = [name for name in self.entered if name in TIGHTNESS]
            return max(bounding, key=TIGHTNESS.index)
        if isinstance(verdict, Falsified) and verdict.stage is not None:
            return verdict.stage
        return self.entered[-1]


class Runner:
    """Decides instances with the same settings; `json_dir` gets a JSON file for each.

    Each instance has its own timeout, from which `startup` seconds are taken. Raises DeviceError
    for an absent device.
    """

    def __init__(
        self,
        instances: Iterable[Instance],
        settings: Settings,
        json_dir: Path | None,
        progress: Progress,
        ending: Ending,
        startup: float = 0.0,
    ) -> None:
        self._networks = Networks(
            file for instance in instances for file in instance.networks.values()
        )
        self._settings, self._startup = settings, startup
        self._json_dir = json_dir
        self._progress = progress
        self._ending = ending
        self._device = device_for(settings)
        self.device = name_of(self._device, settings.layout.shape.size)

    def __call__(self, instance: Instance, left: float = FOREVER) -> Record | None:
        """Decide one instance; return its record, or None where it was broken off.

        An instance is broken off by an interruption, and where it is not decided in `left` seconds
        and these are less than its timeout. Any other exception makes a record with `error`.

        Raises BoundmeshError where the JSON file cannot be written. Raises DeviceError where an
        error cannot be sent to other ranks, which would wait for this one.
        """
        given = left if instance.timeout is None else min(instance.timeout, left)
        stages = Stages(self._progress)
        began = perf_counter()
        try:
            record, content = self._decide(instance, given, stages, began)
        except Exception as error:
            alike = isinstance(error, BoundmeshError) and not isinstance(error, DeviceError)
            if self._settings.layout.shards > 1 and not alike:
                raise DeviceError(
                    f"{instance}: failed on a rank that others work in step with, which ends the "
                    f"run; leave it out, or use --mesh domains=N ({error})"
                ) from error
            record, content = self._crashed(instance, error, stages, began)
        cut = record.verdict == "timed-out" and given != instance.timeout
        if cut or self._ending.came:
            return None
        if self._json_dir is not None:
            write_json(self._json_dir / json_name(instance), content)
        return record

    def recover(self) -> None:
        """Free memory after an `error`; raise DeviceError where a GPU has failed for good."""
        recover(self._device)

    def _decide(
        self, instance: Instance, timeout: float, stages: Stages, began: float
    ) -> tuple[Record, dict[str, Any]]:
        declared = declared_in(instance.property)
        graphs = {name: self._networks(file, declared) for name, file in instance.networks.items()}
        loading = perf_counter() - began
        left = None if timeout == FOREVER else max(timeout - loading - self._startup, 1e-3)
        settings = replace(self._settings, timeout=left)
        result = api.verify(graphs, instance.property, settings=settings, progress=stages)
        seconds = perf_counter() - began
        verdict = result.verdict
        record = self._record(
            instance,
            verdict=verdict.word,
            seconds=round(seconds, 4),
            stage=stages.deciding(verdict),
            bound=_bound(verdict),
            peak_mib=round(result.peak_bytes / MIB, 1),
            reason=verdict.reason if isinstance(verdict, Unknown | TimedOut) else "",
        )
        reading = result.seconds["read"] + loading
        whole = replace(result, seconds={**result.seconds, "read": reading})
        asked = replace(self._settings, timeout=instance.timeout)
        names = str(instance.property), instance.network
        return record, results.verdict_json(whole, asked, *names, seconds)

    def _crashed(
        self, instance: Instance, error: Exception, stages: Stages, began: float
    ) -> tuple[Record, dict[str, Any]]:
        seconds = perf_counter() - began
        reason, trace = str(error), None
        if not isinstance(error, BoundmeshError):
            reason = f"{type(error).__name__}: {error}"
            trace = "".join(traceback.format_exception(error))
            self._progress.warn(f"this is a defect of boundmesh, please report it:\n{trace}")
        record = self._record(
            instance,
            verdict="error",
            seconds=round(seconds, 4),
            stage=stages.entered[-1],
            bound=None,
            peak_mib=0.0,
            reason=reason,
        )
        content = {
            "verdict": "error",
            "reason": reason,
            "traceback": trace,
            "property": str(instance.property),
            "network": instance.network,
            "seconds": {"total": seconds},
        }
        return record, content

    def _record(self, instance: Instance, **found: Any) -> Record:
        return Record(
            family=instance.family,
            onnx=instance.onnx,
            vnnlib=instance.vnnlib,
            timeout=instance.timeout,
            expected=instance.expected,
            device=self.device,
            **found,
        )


def _bound(verdict: Verdict) -> float | None:
    """Return the smallest margin; None for a refutation, and where the proof gives no number."""
    if isinstance(verdict, Falsified) or verdict.bound == POSITIVE:
        return None
    return verdict.bound


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Write a JSON file in a folder that need not exist; BoundmeshError where that fails."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BoundmeshError(f"cannot make the folder {file.parent}: {error.strerror}") from None
    results.write_json(file, content)


def json_name(instance: Instance) -> Path:
    """Return `family/network--property.json`; the folders of both files are part of the names."""
    onnx = "+".join(re.findall(r"'([^']*)'\s*\)", instance.onnx)) or instance.onnx
    network, prop = (
        name.removesuffix(".gz").removesuffix(suffix).replace("\\", "/").strip("./")
        for name, suffix in ((onnx, ".onnx"), (instance.vnnlib, ".vnnlib"))
    )
    return Path(instance.family) / f"{network}--{prop}.json".replace("/", "_")
