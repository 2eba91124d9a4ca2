"""How a mode is measured: alone in its process, warmed up, the worst rank counts.

A mode is a script with its options. It prints one JSON line; with several shards the first rank
does, for all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.graph.graph import Graph
from boundmesh.mesh.runtime import launch
from boundmesh.mesh.runtime.join import Mesh, joined
from boundmesh.mesh.runtime.open import open_layout
from boundmesh.mesh_shape import MeshShape
from boundmesh.operators.rounding import Rounding
from boundmesh.proof.guarantee import rounding_for
from boundmesh.runtime.device import full_precision, peak_bytes, set_aside
from boundmesh.runtime.memory import keep_freed_memory
from boundmesh.runtime.rank import inside
from boundmesh.settings import Settings

MIB = 2**20


def rounding_of(graph: Graph, layout: DeviceLayout, options: argparse.Namespace) -> Rounding | None:
    """The roundings that bounds must outweigh, as asked for."""
    return rounding_for(graph, Settings(rounding=options.rounding), layout)


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all modes share."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--shards", type=int, default=1)
    options.add_argument("--rounding", default="real", help="what bounds must outweigh, or trust")
    options.add_argument("--schedule", choices=["auto", "gather", "exchange"], default="gather")
    options.add_argument("--offload", choices=["none", "weights"], default="none")
    options.add_argument("--wave", type=int, help="tiles that share a fetched weight")
    options.add_argument("--tile-elements", type=int, default=2**23)
    options.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--limit-mib", type=int, help="memory that a rank may take of its GPU")
    options.add_argument("--profile", action="store_true", help="time spent in kernels and NCCL")
    options.add_argument("--trace", help="with --profile: a Chrome trace of the first rank's run")
    return options


def start(main: Callable[[argparse.Namespace], None], options: argparse.Namespace) -> None:
    """Run `main(options)` here, or as that many ranks of this host."""
    full_precision()
    keep_freed_memory()
    if options.shards > 1 and not inside():
        sys.exit(launch.run(options.shards, start, main, options))
    main(options)


@dataclass(frozen=True)
class Place:
    """Where this rank works."""

    mesh: Mesh | None
    device: torch.device

    @property
    def first(self) -> bool:
        return self.mesh is None or self.mesh.first

    def layout(self, graph: Graph, options: argparse.Namespace) -> DeviceLayout:
        return open_layout(
            graph,
            self.mesh,
            self.device,
            schedule=options.schedule,
            offload=options.offload,
            wave=options.wave,
        )

    def together(self) -> None:
        """Finish what is queued, and wait for the other ranks."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        if self.mesh is not None:
            self.mesh.shards.broadcast_object(True)

    def worst(self, *values: float) -> list[float]:
        """The largest of every value over the ranks."""
        mine = torch.tensor([values], dtype=torch.float64)
        if self.mesh is None:
            return [float(value) for value in values]
        every = mine.new_empty(self.mesh.shape.shards, len(values))
        self.mesh.shards.all_gather(every, mine).wait()
        return every.amax(0).tolist()


@contextmanager
def place(options: argparse.Namespace) -> Iterator[Place]:
    """The device alone, or the mesh of the ranks that were started."""
    if options.shards > 1:
        with joined(MeshShape(options.shards), options.device) as mesh:
            limit_memory(mesh.device, options.limit_mib)
            yield Place(mesh, mesh.device)
        return
    cuda = options.device != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda", 0) if cuda else torch.device("cpu")
    limit_memory(device, options.limit_mib)
    try:
        with torch.cuda.device(0) if cuda else nullcontext():
            yield Place(None, device)
    except torch.OutOfMemoryError:
        print(json.dumps({"out of memory": sys.argv, "limit_mib": options.limit_mib}), flush=True)


def limit_memory(device: torch.device, mib: int | None) -> None:
    """Let this process take so much of its GPU, as if that were all there is."""
    if device.type == "cuda" and mib is not None:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(mib * MIB / total, device)


def report(
    at: Place,
    name: str,
    options: argparse.Namespace,
    function: Callable[[], Sequence[Tensor]],
    warm_up: Callable[[], object] | None = None,
    **facts: object,
) -> None:
    """Measure `function`, whose tensors are the bounds, and print the line."""
    (warm_up or function)()
    set_aside()
    seconds: list[float] = []
    peaks: list[int] = []
    found: Sequence[Tensor] = ()
    for _ in range(options.runs):
        at.together()
        if at.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(at.device)
        begun = time.perf_counter()
        found = function()
        at.together()
        seconds.append(time.perf_counter() - begun)
        peaks.append(peak_bytes(at.device))
    median, peak = at.worst(statistics.median(seconds), max(peaks))
    line: dict[str, object] = {
        "benchmark": name,
        **facts,
        "shards": options.shards,
        "schedule": "one" if options.shards == 1 else options.schedule,
        "offload": options.offload,
        "wave": options.wave,
        "rounding": options.rounding,
        "tile_elements": options.tile_elements,
        "milliseconds": round(median * 1000, 2),
        "fastest": round(min(seconds) * 1000, 2),
        "spread": round((max(seconds) - min(seconds)) * 1000, 2),
        "peak_mib": round(peak / MIB, 1),
        "sum": float(found[0].double().sum()),
        "sha256": digest(found),
        "runs": options.runs,
        "device": torch.cuda.get_device_name(at.device) if at.device.type == "cuda" else "cpu",
        "torch": torch.__version__,
    }
    if options.profile and at.device.type == "cuda":
        line |= kernel_milliseconds(function, options.trace if at.first else None)
    if at.first:
        print(json.dumps(line), flush=True)


def digest(bounds: Sequence[Tensor]) -> str:
    """SHA-256 of the bounds' bytes: equal bits, equal digests."""
    sha = hashlib.sha256()
    for bound in bounds:
        sha.update(bound.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


def kernel_milliseconds(function: Callable[[], object], trace: str | None) -> dict[str, float]:
    """Time in kernels of one run on this rank: all, products, and NCCL's, which may overlap.

    With a `trace`, what the host does is noted beside them and written to that file.
    """
    from torch.profiler import ProfilerActivity, profile

    watched = [ProfilerActivity.CUDA, *([ProfilerActivity.CPU] if trace else [])]
    with profile(activities=watched) as found:
        function()
        torch.cuda.synchronize()
    if trace:
        found.export_chrome_trace(trace)
    total = {"kernels_ms": 0.0, "products_ms": 0.0, "nccl_ms": 0.0}
    for event in found.key_averages():
        spent, kernel = event.self_device_time_total / 1000, event.key.lower()
        total["kernels_ms"] += spent
        total["products_ms"] += spent * ("gemm" in kernel)
        total["nccl_ms"] += spent * ("nccl" in kernel)
    return {key: round(value, 2) for key, value in total.items()}
