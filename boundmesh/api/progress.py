"""Checks the object to which progress is reported."""

from __future__ import annotations

from boundmesh.errors import BoundmeshError
from boundmesh.ranges import shown
from boundmesh.runtime.progress import Progress


def check_progress(progress: Progress) -> None:
    """Raise BoundmeshError for an object without the methods of a Progress."""
    if not isinstance(progress, Progress):
        raise BoundmeshError(
            f"progress is {shown(progress)}; expected an object with the methods stage, update "
            "and warn"
        )
