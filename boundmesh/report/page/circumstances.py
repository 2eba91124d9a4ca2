"""Lists what a reader needs to repeat a run: versions, device, settings, command."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from boundmesh import __version__
from boundmesh.report.results import LIBRARIES
from boundmesh.settings import Settings


@dataclass(frozen=True)
class Origin:
    """Where a query comes from: files and command as the user named them, and the time of day.

    Each is empty where it is not known.
    """

    network: str = ""
    property: str = ""
    command: str = ""
    date: str = ""


@dataclass(frozen=True)
class Circumstances:
    """Pairs of names and values, and the command; it is empty where a program made the run."""

    command: str
    versions: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]


def circumstances(settings: Settings, device: str, command: str) -> Circumstances:
    """Return the circumstances of a run with these settings, on the named device."""
    known = [
        ("boundmesh", __version__),
        ("Python", platform.python_version()),
        *((name, version(name)) for name in LIBRARIES),
        ("device", device or "not known"),
        ("system", f"{platform.system()} {platform.machine()}"),
    ]
    return Circumstances(command, tuple(known), tuple(_flat(asdict(settings))))


def origin_here(network: str = "", property: str = "") -> Origin:
    """Return the origin of a query of this process: its command, the files named, and now."""
    return Origin(network, property, command_line(), now())


def now() -> str:
    """Return the date and the time of day."""
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z").strip()


def command_line() -> str:
    """Return the command that this process was started with, as a shell reads it."""
    return shlex.join(["boundmesh", *sys.argv[1:]])


def _flat(settings: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return the names and values of all settings, those of a stage as `stage.name`."""
    pairs = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{before}{name}.")
        else:
            pairs.append((before + name, "none" if value is None else str(value)))
    return pairs
