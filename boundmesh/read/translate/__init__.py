"""Translates each ONNX operator into nodes of a Graph. Importing this fills `TRANSLATIONS`."""

from boundmesh.read.translate import (
    activation,
    along,
    arithmetic,
    convolution,
    einsum,
    linear,
    normalize,
    pool,
    reduce,
    reshape,
    resize,
    scatter,
    select,
)
from boundmesh.read.translate.step import TRANSLATIONS, Step, Value

__all__ = [
    "TRANSLATIONS",
    "Step",
    "Value",
    "activation",
    "along",
    "arithmetic",
    "convolution",
    "einsum",
    "linear",
    "normalize",
    "pool",
    "reduce",
    "reshape",
    "resize",
    "scatter",
    "select",
]
