"""Writes numbers of bytes, seconds and shards for people, each with its unit."""

from __future__ import annotations

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
LENGTHS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3}
"""The seconds of each unit of time."""


def of_size(count: float) -> str:
    """Write a number of bytes with three digits, as in `1.25 GiB`; less than one is a dash."""
    if count < 1:
        return "-"
    power = min(len(UNITS) - 1, (int(count).bit_length() - 1) // 10)
    number = count / 1024**power
    digits = f"{number:.0f}" if number >= 100 or not power else f"{number:.3g}"
    return f"{digits} {UNITS[power]}"


def of_time(seconds: float) -> str:
    """Write a time with two digits, in the largest unit that it has two of, as in `3.1 s`."""
    name = next((unit for unit, length in LENGTHS.items() if seconds >= 2 * length), "ms")
    number = seconds / LENGTHS[name]
    return f"{number:.0f} {name}" if number >= 10 else f"{number:.2g} {name}"


def of_shards(count: int) -> str:
    """Write a number of shards, in digits as an option takes it, as in `2048 shards`."""
    return f"{count} shard{'s' * (count > 1)}"
