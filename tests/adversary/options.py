"""The arithmetics that boundmesh's answers are judged in, by the words of `--rounding`."""

from __future__ import annotations

SEMANTICS = {
    "real": ("real",),
    "float32": ("float32",),
    "real+float32": ("real", "float32"),
    "trust": ("real", "float32"),
}
