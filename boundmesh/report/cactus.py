"""Cactus plots: they show how many instances are solved within how many seconds each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from boundmesh.errors import BoundmeshError
from boundmesh.report.records import Record
from boundmesh.report.summary import ALL

FORMATS = (".png", ".svg")
SHORTEST = 0.001
"""The logarithmic axis begins at so many seconds. Shorter times are drawn there."""


def check_plot(path: Path) -> None:
    """Check before the work that a plot can be drawn; raise BoundmeshError if it cannot."""
    if path.suffix.lower() not in FORMATS:
        raise BoundmeshError(f"--plot: {path} is neither PNG nor SVG; end it in .png or .svg")
    if find_spec("matplotlib") is None:
        raise BoundmeshError(
            "--plot needs matplotlib, which is not installed: pip install 'boundmesh[plot]'"
        )


def curves(records: Sequence[Record]) -> dict[str, list[float]]:
    """Return the seconds of the solved instances of each family, in ascending order.

    Where there are several families, the result has a curve of all instances as well.
    """
    seconds_by_family: dict[str, list[float]] = {}
    for record in records:
        if record.solved:
            seconds_by_family.setdefault(record.family, []).append(record.seconds)
    if len(seconds_by_family) > 1:
        seconds_by_family[ALL] = [
            seconds for members in seconds_by_family.values() for seconds in members
        ]
    return {family: sorted(seconds) for family, seconds in seconds_by_family.items()}


def plot(path: Path, records: Sequence[Record]) -> None:
    """Draw one curve per family, which shows the seconds of its n-th fastest instance over n."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for family, seconds in curves(records).items():
        style = {"color": "black", "linewidth": 2} if family == ALL else {"linewidth": 1.2}
        label = f"{family} ({len(seconds)})"
        heights = [max(value, SHORTEST) for value in seconds]
        axes.plot(range(1, len(seconds) + 1), heights, marker=".", label=label, **style)
    axes.set_yscale("log")
    axes.set_xlabel("instances solved")
    axes.set_ylabel("seconds for each, at most")
    axes.grid(True, which="both", alpha=0.25)
    if axes.get_lines():
        axes.legend(fontsize="small")
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise BoundmeshError(f"cannot write {path}: {error.strerror or error}") from None
