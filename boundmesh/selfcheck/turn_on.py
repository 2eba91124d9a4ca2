"""Turns the kernels on. Each kind is compared with the operators before its first use."""

from __future__ import annotations

from boundmesh.kernels import launcher
from boundmesh.selfcheck.clipping import clipping_agrees
from boundmesh.selfcheck.comparisons import products_agree, rows_agree
from boundmesh.selfcheck.sloped_windows import sloped_windows_agree
from boundmesh.selfcheck.windows import windows_agree


def turn_on() -> None:
    """Allow Triton's kernels on the devices on which they agree with the operators.

    Until this is called, no kernel is used, and the operators do all the work.
    """
    launcher.allow("rows", rows_agree)
    launcher.allow("products", products_agree)
    launcher.allow("windows", windows_agree)
    launcher.allow("sloped windows", sloped_windows_agree)
    launcher.allow("clipping", clipping_agrees)
