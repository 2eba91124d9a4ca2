"""Measures how much memory is available, refuses work that cannot fit, and keeps freed memory."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from boundmesh.errors import DeviceError

MEMINFO = Path("/proc/meminfo")
CGROUPS = Path("/sys/fs/cgroup")
# Version 1 of control groups writes a huge number where there is no limit.
NO_LIMIT = 2**60
# Options of glibc's `mallopt`, from malloc.h, and the values that `keep_freed_memory` gives them.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 2**30
LARGEST_KEPT = 2**25


def keep_freed_memory() -> bool:
    """Let this process use freed memory again, instead of giving it back to the system.

    glibc gives freed tensors of a few megabytes back, and the system clears every page that it
    hands out. Bounds on a CPU spend up to a third of their time on that. Up to KEPT_BYTES of free
    memory are kept; tensors of more than LARGEST_KEPT bytes, the largest size that glibc allows
    here, are given back at once. Call this only in a process that serves boundmesh alone. Returns
    False where the C library is another one; nothing changes then.
    """
    if "CS_GNU_LIBC_VERSION" not in os.confstr_names:
        return False
    library = ctypes.CDLL(None)
    chosen = ((MMAP_THRESHOLD, LARGEST_KEPT), (TRIM_THRESHOLD, KEPT_BYTES))
    return all(library.mallopt(option, value) == 1 for option, value in chosen)


def host_bytes() -> int | None:
    """Return the number of bytes that this process can still take.

    It is the smallest of what the system, the control groups and the limits of this process leave.
    Returns None if the system does not report any of these.
    """
    limits = [*_of_system(), *_of_groups(), *_of_process()]
    return max(0, min(limits)) if limits else None


def resident_bytes() -> int | None:
    """Return the bytes that this process takes in memory; None where the system does not tell."""
    sizes = Path("/proc/self/statm")
    if not sizes.exists():
        return None
    return int(sizes.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def refuse_beyond(what: str, needed: float, advice: str, there: int | None = None) -> None:
    """Raise DeviceError if `needed` bytes are more than `there` are available.

    Without `there`, the available host memory counts. `what` begins the message, as in
    "node 'x' (Expand) with 10 elements".
    """
    there = host_bytes() if there is None else there
    if there is not None and needed > there:
        raise DeviceError(
            f"{what} would take {gibibytes(needed)} of memory at least, and {gibibytes(there)} "
            f"are available; {advice}"
        )


def gibibytes(count: float) -> str:
    """Return a number of bytes as text in GiB, for messages."""
    return f"{count / 2**30:.1f} GiB"


def _of_system() -> Iterator[int]:
    if MEMINFO.exists():
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024
                return
    names = [name for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES") if name in os.sysconf_names]
    if names:
        yield os.sysconf(names[0]) * os.sysconf("SC_PAGE_SIZE")


def _of_groups() -> Iterator[int]:
    """Yield the bytes that each control group of this process leaves, for both cgroup versions."""
    member = Path("/proc/self/cgroup")
    if not member.exists():
        return
    for line in member.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            names = CGROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            names = CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        root, limit, usage = names
        group_folder = root / path.lstrip("/")
        for folder in (group_folder, *group_folder.parents):
            if root in (folder, *folder.parents):
                yield from _left(folder, limit, usage)


def _left(folder: Path, limit: str, usage: str) -> Iterator[int]:
    """Yield the bytes that a group leaves. Files that the system can drop from memory are free."""
    try:
        most, taken = (folder / limit).read_text().strip(), (folder / usage).read_text()
        if not most.isdecimal() or int(most) >= NO_LIMIT:
            return
        statistics = (folder / "memory.stat").read_text().split()
        held = dict(zip(statistics[::2], statistics[1::2], strict=False))
        dropped = held.get("total_inactive_file", held.get("inactive_file", "0"))
        yield int(most) - int(taken) + int(dropped)
    except (OSError, ValueError):
        return


def _of_process() -> Iterator[int]:
    """Yield the bytes that this process may still reserve, if `ulimit -v` sets a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    sizes = Path("/proc/self/statm")
    if limit != resource.RLIM_INFINITY and sizes.exists():
        yield limit - int(sizes.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
