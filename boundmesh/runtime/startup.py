"""Measures how long this process has been running."""

from __future__ import annotations

import os
import time
from pathlib import Path

BEGAN = time.monotonic()
"""When this module was imported, which is early in every command."""


def seconds_since_start() -> float:
    """Return the seconds since the process began; since its first imports where that is unknown."""
    try:
        fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
        ticks = float(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks
    except (OSError, ValueError, IndexError, AttributeError):
        return time.monotonic() - BEGAN
