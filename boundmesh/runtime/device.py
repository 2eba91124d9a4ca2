"""The device and precision a run works in, and how much memory it took there."""

from __future__ import annotations

import gc
import os
import re
import resource
import sys

import torch

from boundmesh.errors import DeviceError
from boundmesh.ranges import shown
from boundmesh.runtime.rank import ranks_here
from boundmesh.settings import Settings

NAME = re.compile(r"cpu|cuda(:[0-9]{1,2})?", re.ASCII)


def choose_device(name: str) -> torch.device:
    """`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:1`; DeviceError if it is absent."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not NAME.fullmatch(name):
        raise DeviceError(f"device {shown(name)} is not known; expected auto, cpu or cuda[:i]")
    device = torch.device(name)
    if device.type == "cpu":
        return device
    found = torch.cuda.device_count()
    if not torch.cuda.is_available() or (device.index or 0) >= found:
        raise DeviceError(
            f"device '{name}' was asked for, and this machine has {found} usable GPUs; "
            "use --device cpu or --device auto"
        )
    return device


def full_precision() -> None:
    """Let GPUs compute in float32 what is asked for in float32, and in one fixed order.

    TF32, which convolutions use by default, rounds to 11 bits: bounds would not be sound. (Products
    of `rules.matmul` are exact to float32.)
    CUBLAS_WORKSPACE_CONFIG, which could spare 24 MiB, is left alone: torch 2.11 parses it anew for
    every product, which takes five times as long as starting one. Gradients are computed by the
    thread that asks for them: another one would reserve a second workspace.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.autograd.set_multithreading_enabled(False)


def set_aside() -> None:
    """Leave all objects there are out of Python's later searches for garbage, each of which would
    go through those of torch, for tens of milliseconds; for a process that nobody else uses."""
    gc.freeze()


# Networks whose forward pass takes fewer multiplications gain nothing from a second thread, and
# lose much where another process keeps the second core busy.
WORTH_THREADS = 2_000_000


def pin_threads(settings: Settings, multiplications: int) -> None:
    """Fix the CPU threads for a network of so many multiplications: `settings.threads`, else one
    for a small network and one per core for others. Their number is part of the bits."""
    cores = max(1, (os.cpu_count() or 1) // ranks_here())
    chosen = settings.threads or (1 if multiplications < WORTH_THREADS else cores)
    if torch.get_num_threads() != chosen:
        torch.set_num_threads(chosen)


def dtype_of(settings: Settings) -> torch.dtype:
    """The precision that bounds are computed in."""
    return torch.float64 if settings.dtype == "float64" else torch.float32


def forget_peak(device: torch.device) -> None:
    """Start measuring peak memory from now (a GPU's; a process's peak cannot be forgotten)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """Most bytes held: of tensors on a GPU since `forget_peak`, of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
