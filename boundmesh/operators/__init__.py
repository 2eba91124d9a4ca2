"""The operators and their rules. Importing this package fills the table `RULES`."""

from boundmesh.operators import (
    arithmetic,
    bent,
    bilinear,
    clamp,
    convex,
    convolution,
    floor,
    gated,
    linear,
    periodic,
    power,
    reduce,
    relu,
    reshape,
    s_shaped,
    select,
    softmax,
)
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear_bounds import Lines, Pulled, Relaxation, pull_lines
from boundmesh.operators.operator import RULES, Operator, register

__all__ = [
    "RULES",
    "Interval",
    "Lines",
    "Operator",
    "Pulled",
    "Relaxation",
    "arithmetic",
    "bent",
    "bilinear",
    "clamp",
    "convex",
    "convolution",
    "floor",
    "gated",
    "linear",
    "periodic",
    "power",
    "pull_lines",
    "reduce",
    "register",
    "relu",
    "reshape",
    "s_shaped",
    "select",
    "softmax",
]
