"""How boundmesh is called, with the arithmetic that its answers shall hold in."""

from __future__ import annotations

from dataclasses import fields

from boundmesh.settings import Settings

OFFERED = any(field.name == "rounding" for field in fields(Settings))
# Tests of what rounding must not do may fail until this is true; then each failure counts.
PROMISED = True
SEMANTICS = {
    "real": ("real",),
    "float32": ("float32",),
    "real+float32": ("real", "float32"),
    "trust": ("real", "float32"),
}


def rounding(name: str) -> dict[str, object]:
    """The option for that arithmetic; none where this version of boundmesh has no such option."""
    return {"rounding": name} if OFFERED else {}
