"""Writes pages: one HTML file each that needs no other file, no network and no JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from boundmesh.certify.result import Certification
from boundmesh.errors import BoundmeshError
from boundmesh.ranges import shown
from boundmesh.report.page.bench_page import bench_page
from boundmesh.report.page.certify_page import certify_page
from boundmesh.report.page.circumstances import Origin, now
from boundmesh.report.page.compare_page import compare_page
from boundmesh.report.page.verify_page import verify_page
from boundmesh.report.records import Record
from boundmesh.report.results import write
from boundmesh.report.summary import Change, Pace, Summary
from boundmesh.result import Result
from boundmesh.settings import Settings

Reportable = Result | Certification


def report(result: Reportable, path: str | Path, origin: Origin | None = None) -> None:
    """Write a page for people to an HTML file: what was asked, the answer, and how it was found.

    `result` is what `verify` or `certify` has returned; `origin` tells where the query comes from.
    The page needs no other file, no network and no JavaScript; it can be printed. Raises
    BoundmeshError for another result, and where the file cannot be written.
    """
    if not isinstance(path, str | Path):
        raise BoundmeshError(f"the path is {shown(path)}; expected the name of an HTML file")
    about = origin or Origin(date=now())
    if isinstance(result, Result):
        text = rendered("verify.html", verify_page(result, about))
    elif isinstance(result, Certification):
        text = rendered("certify.html", certify_page(result, about))
    else:
        raise BoundmeshError(
            f"there is no page for {shown(result)}; expected a result of verify or certify"
        )
    write(Path(path), text)


def report_bench(
    path: Path,
    records: Sequence[Record],
    summaries: Sequence[Summary],
    settings: Settings,
    lists: Sequence[str],
    origin: Origin,
) -> None:
    """Write the page of a benchmark; raises BoundmeshError where that fails."""
    write(path, rendered("bench.html", bench_page(records, summaries, settings, lists, origin)))


def report_comparison(
    path: Path,
    files: tuple[str, str],
    old: Sequence[Record],
    new: Sequence[Record],
    changes: Sequence[Change],
    pace: Pace,
    origin: Origin,
) -> None:
    """Write the page that compares two results; raises BoundmeshError where that fails."""
    page = compare_page(files, old, new, changes, pace, origin)
    write(path, rendered("compare.html", page))


def rendered(template: str, page: Any) -> str:
    """Fill a template with a page; all texts are escaped."""
    return environment().get_template(template).render(page=page)


@cache
def environment() -> jinja2.Environment:
    """Return the environment of the templates: everything is escaped, nothing may be missing."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("boundmesh.report.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["seconds"] = _seconds
    return made


def _seconds(value: float) -> str:
    """Write seconds with two digits after the point, and milliseconds where they are few."""
    return f"{1000 * value:.1f} ms" if value < 1 else f"{value:,.2f} s"
