"""Turns the kernels on: each kind is compared with the operators where it is first wanted."""

from __future__ import annotations

from boundmesh.kernels import launcher
from boundmesh.selfcheck.clipping import clipping_agrees
from boundmesh.selfcheck.comparisons import products_agree, rows_agree


def turn_on() -> None:
    """Let Triton's kernels be used on the devices on which they agree with the operators.

    Until this is called no kernel is used: the operators do all the work.
    """
    launcher.allow("rows", rows_agree)
    launcher.allow("products", products_agree)
    launcher.allow("clipping", clipping_agrees)
