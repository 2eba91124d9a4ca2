"""The operators and their rules. Importing this package fills `RULES`."""

from boundmesh.rules import arithmetic, convolution, linear, reduce, relu, reshape, select
from boundmesh.rules.operator import RULES, Interval, Lines, Operator, Pulled, pull_lines, register

__all__ = [
    "RULES",
    "Interval",
    "Lines",
    "Operator",
    "Pulled",
    "arithmetic",
    "convolution",
    "linear",
    "pull_lines",
    "reduce",
    "register",
    "relu",
    "reshape",
    "select",
]
