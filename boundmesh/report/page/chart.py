"""Charts of lines and areas as geometry; the page's template draws them.

The drawing is stretched to the width of the page, and its texts lie beside it, so that they keep
their size in a narrow window and on paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from boundmesh.report.page.scale import Scale, Tick

SIZE = 1000
"""The drawing is a square of so many units, stretched by the browser."""
MOST_POINTS = 600
"""A curve with more points is drawn with the least and the greatest of each of its parts."""

MOST_DOTS = 60

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class ChartCurve:
    """A curve or an area.

    name   its name in the legend; empty for a curve without one
    path   its drawing, as the `d` of an SVG path
    colour  the number of its colour
    dots   the drawing of its points; empty where there are too many to see
    area   True for an area, False for a line
    """

    name: str
    path: str
    colour: int
    dots: str = ""
    area: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart with its axes.

    title    what it shows, for the caption
    reading  what can be read from it, for those who cannot see it
    x, y     what the axes show, with the unit
    zero     the place of a line at 0; None without one
    """

    title: str
    reading: str
    x: str
    y: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    curves: tuple[ChartCurve, ...]
    zero: float | None = None


def line(
    name: str,
    points: Points,
    x: Scale,
    y: Scale,
    colour: int,
    *,
    step: bool = False,
    dotted: bool = True,
) -> ChartCurve:
    """Draw a line through points; with `step` a value stays until the next point.

    With `dotted` each point is a dot as well, unless there are many.
    """
    placed = _placed(thinned(points), x, y)
    parts = [f"M{placed[0][0]} {placed[0][1]}"] if placed else []
    for across, up in placed[1:]:
        parts.append(f"H{across}V{up}" if step else f"L{across} {up}")
    # A line of no length with round ends is a dot, however the drawing is stretched.
    few = dotted and len(placed) <= MOST_DOTS
    dots = "".join(f"M{across} {up}h0" for across, up in placed) if few else ""
    return ChartCurve(name, "".join(parts), colour, dots)


def dots(name: str, points: Points, x: Scale, y: Scale, colour: int) -> ChartCurve:
    """Draw every point as a dot; points at one place are drawn once."""
    placed = dict.fromkeys(_placed(points, x, y))
    return ChartCurve(name, "", colour, "".join(f"M{across} {up}h0" for across, up in placed))


def area(name: str, lower: Points, upper: Points, x: Scale, y: Scale, colour: int) -> ChartCurve:
    """Draw the area between two lines of the same x."""
    forth, back = _placed(upper, x, y), _placed(lower, x, y)[::-1]
    outline = "L".join(f"{across} {up}" for across, up in (*forth, *back))
    return ChartCurve(name, f"M{outline}Z", colour, area=True)


def thinned(points: Points) -> Points:
    """Return at most MOST_POINTS points: of each part the first, least, greatest and last."""
    if len(points) <= MOST_POINTS:
        return points
    size = -(-len(points) * 4 // MOST_POINTS)
    kept: list[tuple[float, float]] = []
    for first in range(0, len(points), size):
        part = range(first, min(first + size, len(points)))
        by_height = sorted(part, key=lambda place: points[place][1])
        chosen = {part[0], by_height[0], by_height[-1], part[-1]}
        kept += [points[place] for place in sorted(chosen)]
    return kept


def seconds_label(value: float) -> str:
    """Label a time: `250 ms`, `3 s`, `5 min`."""
    if value >= 120:
        return f"{value / 60:.3g} min" if value < 7200 else f"{value / 3600:.3g} h"
    if 0 < value < 1:
        return f"{value * 1000:.4g} ms"
    return f"{value:.4g} s"


def number_label(value: float) -> str:
    """Label a number."""
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e7 else f"{value:.4g}"


Label = Callable[[float], str]


def _placed(points: Points, x: Scale, y: Scale) -> list[tuple[int, int]]:
    return [(round(SIZE * x.place(a)), round(SIZE * (1 - y.place(b)))) for a, b in points]
