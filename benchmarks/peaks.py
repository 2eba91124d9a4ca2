"""Measures the peak of memory of one call, beyond what was there before, and its seconds."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import MIB


def measured(function: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Return the peak in MiB, beyond what was there before, and the seconds."""
    # The first run compiles kernels, and makes tables of curves that the process keeps (0.2 MiB).
    function()
    if device.type == "cpu":
        return counted(function)
    settle()
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    begun = time.perf_counter()
    found = function()
    torch.cuda.synchronize()
    seconds = time.perf_counter() - begun
    del found
    return (torch.cuda.max_memory_allocated(device) - before) / MIB, seconds


def settle() -> None:
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()


def largest_at_peak(function: Callable[[], object]) -> list[str]:
    """Return the largest tensors on the GPU at the peak: MiB, and where they were made."""
    settle()
    torch.cuda.memory._record_memory_history(stacks="python", max_entries=1_000_000)
    function()
    trace = torch.cuda.memory._snapshot()["device_traces"][0]
    torch.cuda.memory._record_memory_history(enabled=None)
    live: dict[int, tuple[int, str]] = {}
    total = peak = 0
    at_peak: list[tuple[int, str]] = []
    for entry in trace:
        if entry["action"] == "alloc":
            frames = [f for f in entry.get("frames", []) if "boundmesh" in f["filename"]][:3]
            where = " < ".join(f"{Path(f['filename']).stem}:{f['line']}" for f in frames)
            live[entry["addr"]] = entry["size"], where
            total += entry["size"]
            if total > peak:
                peak, at_peak = total, sorted(live.values(), reverse=True)[:16]
        elif entry["action"] == "free_completed" and entry["addr"] in live:
            total -= live.pop(entry["addr"])[0]
    return [f"{size / MIB:.2f} {where}" for size, where in at_peak]


def counted(function: Callable[[], object]) -> tuple[float, float]:
    """Return the peak of the CPU allocator in MiB, as torch's profiler reports it, and seconds."""
    from torch.profiler import ProfilerActivity, profile

    begun = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        function()
    seconds = time.perf_counter() - begun
    assert found.profiler is not None and found.profiler.kineto_results is not None
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda each: each.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak / MIB, seconds
