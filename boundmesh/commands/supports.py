"""`boundmesh supports`: lists what can be verified, in the form of the VNN-LIB standard 2.0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from boundmesh.errors import BoundmeshError


def _operators() -> list[str]:
    from boundmesh.read.capabilities import onnx_operators

    return list(onnx_operators())


def _opsets() -> list[str]:
    from boundmesh.read.capabilities import onnx_opsets

    return [str(version) for version in onnx_opsets()]


def _answer(*lines: str) -> Callable[[], list[str]]:
    return lambda: list(lines)


# Defined in section "The supports command" of the VNN-LIB standard 2.0, with its names of theories.
CAPABILITIES: dict[str, Callable[[], list[str]]] = {
    "--onnx-opset-versions": _opsets,
    "--onnx-element-types": _answer("real", "float16", "bfloat16", "float32", "float64"),
    "--onnx-operators": _operators,
    "--onnx-operators-unsat-proofs": _answer(),
    "--vnnlib-versions": _answer("1.0", "2.0"),
    "--hidden-node-theories": _answer("NH"),
    "--multiple-input-output-theories": _answer("SIO", "MIO"),
    "--multiple-network-theories": _answer("SNET"),
    "--multiple-node-comparison-theories": _answer("SNC", "MNC"),
    "--arithmetic-complexity-theories": _answer("BND", "OUTC", "LIN"),
    "--optimised-disjunctive-reasoning": _answer("false"),
    "--serialise-assignments": _answer("false"),
    "--unsat-proofs": _answer("false"),
}


def supports(
    capability: Annotated[
        str, typer.Argument(metavar="CAPABILITY", help=f"One of {', '.join(CAPABILITIES)}.")
    ],
) -> None:
    """Say what can be verified: boundmesh supports --onnx-operators"""
    if capability not in CAPABILITIES:
        known = "\n  ".join(CAPABILITIES)
        raise BoundmeshError(f"'{capability}' is not a capability; capabilities:\n  {known}")
    for line in CAPABILITIES[capability]():
        typer.echo(line)
