"""The operators and their rules. Importing this package fills `RULES`."""

from boundmesh.rules import (
    arithmetic,
    bent,
    bilinear,
    convolution,
    linear,
    periodic,
    power,
    reduce,
    relu,
    reshape,
    s_shaped,
    select,
)
from boundmesh.rules.operator import (
    RULES,
    Interval,
    Lines,
    Operator,
    Pulled,
    Relaxation,
    pull_lines,
    register,
)

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
    "convolution",
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
]
