"""Exact numbers, and how they are rounded to float64."""

from boundmesh.rational.arrays import outward, quotients, rounded_all
from boundmesh.rational.given import (
    array_of,
    number_of,
    radius_of,
    rational,
    unwrapped,
    without_numbers,
)
from boundmesh.rational.numbers import Exact, decimal, fraction, is_float, rounded
from boundmesh.rational.sums import sums

__all__ = [
    "Exact",
    "array_of",
    "decimal",
    "fraction",
    "is_float",
    "number_of",
    "outward",
    "quotients",
    "radius_of",
    "rational",
    "rounded",
    "rounded_all",
    "sums",
    "unwrapped",
    "without_numbers",
]
