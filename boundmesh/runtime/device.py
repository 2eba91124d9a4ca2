"""Chooses the device and precision of a run, and measures its peak memory there."""

from __future__ import annotations

import gc
import os
import re
import resource
import sys

import torch

from boundmesh.errors import DeviceError
from boundmesh.ranges import shown
from boundmesh.runtime.history import MemoryReading
from boundmesh.runtime.memory import resident_bytes
from boundmesh.runtime.rank import ranks_here
from boundmesh.settings import Settings

NAME = re.compile(r"cpu|cuda(:[0-9]{1,2})?", re.ASCII)


def choose_device(name: str) -> torch.device:
    """Return the device named `auto`, `cpu`, `cuda` or `cuda:1`.

    `auto` is a GPU if there is one, else the CPU. Raises DeviceError if the device is absent.
    """
    if name == "auto":
        return choose_device("cuda") if torch.cuda.is_available() else torch.device("cpu")
    if not NAME.fullmatch(name):
        raise DeviceError(f"device {shown(name)} is not known; expected auto, cpu or cuda[:i]")
    device = torch.device(name)
    if device.type == "cpu":
        return device
    gpus = torch.cuda.device_count()
    if not torch.cuda.is_available() or (device.index or 0) >= gpus:
        raise DeviceError(
            f"device '{name}' was asked for, and this machine has {gpus} usable GPUs; "
            "use --device cpu or --device auto"
        )
    return numbered(device)


def numbered(device: torch.device) -> torch.device:
    """Return `device` with its index. PyTorch takes `cuda` for the GPU that is current."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())


def name_of(device: torch.device, ranks: int = 1) -> str:
    """Return the device's name, such as `cpu` or `cuda:0 NVIDIA H200 × 2` for two ranks."""
    name = str(device)
    if device.type == "cuda":
        name = f"{numbered(device)} {torch.cuda.get_device_name(device)}"
    return name if ranks == 1 else f"{name} × {ranks}"


def full_precision() -> None:
    """Make GPUs compute float32 operations in full float32 and in one fixed order.

    Convolutions use TF32 by default. It rounds to 11 bits, so bounds would not be sound. The
    products of `kernels.matmul` are accurate to float32.

    CUBLAS_WORKSPACE_CONFIG could save 24 MiB, but it is not set: torch 2.11 would parse it for
    every product, which takes five times as long as starting one. Gradients are computed in the
    calling thread, because another thread would reserve a second workspace.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.autograd.set_multithreading_enabled(False)


def set_aside() -> None:
    """Exclude all present objects from later runs of Python's garbage collector.

    Each run would visit all objects of torch, which takes tens of milliseconds. Call this only in a
    process that serves boundmesh alone.
    """
    gc.freeze()


# Networks with fewer multiplications in a forward pass gain nothing from a second thread. They lose
# much by it if another process keeps the second core busy.
WORTH_THREADS = 2_000_000


def pin_threads(settings: Settings, multiplications: int) -> None:
    """Set the number of CPU threads for a network of so many multiplications.

    The number is `settings.threads` if given. Otherwise it is 1 for a small network, and one per
    core for others. It is fixed because the bits of results depend on it.
    """
    cores = max(1, (os.cpu_count() or 1) // ranks_here())
    chosen = settings.threads or (1 if multiplications < WORTH_THREADS else cores)
    if torch.get_num_threads() != chosen:
        torch.set_num_threads(chosen)


def dtype_of(settings: Settings) -> torch.dtype:
    """Return the dtype in which bounds are computed."""
    return torch.float64 if settings.dtype == "float64" else torch.float32


def forget_peak(device: torch.device) -> None:
    """Measure the peak memory of a GPU from now on. The peak of a process cannot be reset."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """Return the peak memory in bytes.

    On a GPU it counts tensors since `forget_peak`. On a CPU it counts the whole process.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def memory_of(device: torch.device) -> MemoryReading | None:
    """Measure the memory that is taken now, and its peak, as `peak_bytes` counts it.

    Returns None where the system does not tell how much memory a process takes.
    """
    if device.type == "cuda":
        known = torch.cuda.memory_stats(device)
        return MemoryReading(
            known.get("allocated_bytes.all.current", 0), known.get("allocated_bytes.all.peak", 0)
        )
    now = resident_bytes()
    return None if now is None else MemoryReading(now, peak_bytes(device))
