"""Translates each ONNX operator into nodes of a Graph. Importing this fills `TRANSLATIONS`."""

from boundmesh.read.translate import (
    activation,
    arithmetic,
    convolution,
    linear,
    pool,
    reduce,
    reshape,
    resize,
    select,
)
from boundmesh.read.translate.step import TRANSLATIONS, Step, Value

__all__ = [
    "TRANSLATIONS",
    "Step",
    "Value",
    "activation",
    "arithmetic",
    "convolution",
    "linear",
    "pool",
    "reduce",
    "reshape",
    "resize",
    "select",
]
