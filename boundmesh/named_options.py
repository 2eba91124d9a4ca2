"""Replaces settings by name, as in `timeout=60, method="crown"`, whichever stage has the option."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from boundmesh.errors import BoundmeshError
from boundmesh.ranges import shown
from boundmesh.settings import STAGES, Layout, Settings

STAGE_OF: dict[str, str] = {
    option.name: stage for stage, kind in STAGES.items() for option in fields(kind)
}
"""The stage that has each option, such as `bounds` for `method`."""
OF_RUN = frozenset(option.name for option in fields(Settings))
"""The options of a whole run, and the names of its stages."""


def with_options(
    settings: Settings, *, mesh: str | Layout | None = None, **options: Any
) -> Settings:
    """Return `settings` with options replaced by name, as in `timeout=60, method="crown"`.

    An option may belong to any stage. `mesh` is a Layout or a string such as `shards=2`. Raises
    BoundmeshError for a name that no stage has and for a value out of range.
    """
    if not isinstance(settings, Settings):
        raise BoundmeshError(f"settings is {shown(settings)}; expected boundmesh.Settings(…)")
    if mesh is not None:
        settings = replace(settings, layout=_layout(mesh, settings.layout))
    if unknown := sorted(set(options) - OF_RUN - set(STAGE_OF)):
        known = " ".join(sorted((OF_RUN - set(STAGES)) | set(STAGE_OF) | {"mesh"}))
        raise BoundmeshError(f"no option is called {', '.join(unknown)}; options are: {known}")
    of_run = {name: value for name, value in options.items() if name in OF_RUN}
    settings = replace(settings, **of_run)
    stages = {}
    for stage in STAGES:
        of_stage = {name: value for name, value in options.items() if STAGE_OF.get(name) == stage}
        stages[stage] = replace(settings.__dict__[stage], **of_stage)
    return replace(settings, **stages)


def _layout(mesh: object, chosen: Layout) -> Layout:
    """Return the layout that `mesh` describes; words for a mesh keep the other options chosen."""
    if isinstance(mesh, Layout):
        return mesh
    if isinstance(mesh, str):
        return Layout.of(mesh, chosen.schedule, chosen.offload)
    raise BoundmeshError(
        f"mesh is {shown(mesh)}; expected a Layout or words such as shards=2,domains=4"
    )
