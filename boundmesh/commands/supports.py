"""`boundmesh supports`: what can be verified, in general and of a network and its property."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from boundmesh.commands.files import all_networks, check_readable, shapes_of
from boundmesh.commands.options import Network, Shape
from boundmesh.commands.output import print_result
from boundmesh.errors import BoundmeshError


def _operators() -> list[str]:
    from boundmesh.read.capabilities import onnx_operators

    return list(onnx_operators())


def _opsets() -> list[str]:
    from boundmesh.read.capabilities import onnx_opsets

    return [str(version) for version in onnx_opsets()]


def _types() -> list[str]:
    from boundmesh.graph.whole import INTEGERS

    return ["real", "float16", "bfloat16", "float32", "float64", *sorted(INTEGERS.values())]


def _answer(*lines: str) -> Callable[[], list[str]]:
    return lambda: list(lines)


# Defined in section "The supports command" of the VNN-LIB standard 2.0, with its names of theories.
CAPABILITIES: dict[str, Callable[[], list[str]]] = {
    "--onnx-opset-versions": _opsets,
    "--onnx-element-types": _types,
    "--onnx-operators": _operators,
    "--onnx-operators-unsat-proofs": _answer(),
    "--vnnlib-versions": _answer("1.0", "2.0"),
    "--hidden-node-theories": _answer("NH", "H"),
    "--multiple-input-output-theories": _answer("SIO", "MIO"),
    "--multiple-network-theories": _answer("SNET", "MENET", "MINET", "MNET"),
    "--multiple-node-comparison-theories": _answer("SNC", "MNC"),
    "--arithmetic-complexity-theories": _answer("BND", "OUTC", "LIN", "POLY"),
    "--optimised-disjunctive-reasoning": _answer("false"),
    "--serialise-assignments": _answer("false"),
    "--unsat-proofs": _answer("false"),
}


def supports(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="NETWORK|CAPABILITY",
            help=f"A network, .onnx or .onnx.gz, or one of {', '.join(CAPABILITIES)}.",
        ),
    ] = None,
    spec: Annotated[
        str | None, typer.Argument(metavar="SPEC", help="A property of it, .vnnlib[.gz].")
    ] = None,
    network: Network = None,
    shape: Shape = None,
) -> None:
    """List before any run what can be verified: boundmesh supports net.onnx spec.vnnlib

    Of a network it lists the nodes that cannot be bounded, of a property what a proof of it needs.
    The exit code is 0 if all can be bounded, 1 if something cannot, and 3 if a length that is open
    must be given first. Of a capability it prints the values, one a line, as VNN-LIB 2.0 defines.
    """
    if what in CAPABILITIES and not (spec or network or shape):
        for line in CAPABILITIES[what]():
            typer.echo(line)
        return
    for word in filter(None, (what, spec)):
        if word.startswith("-"):
            known = "\n  ".join(CAPABILITIES)
            raise BoundmeshError(f"'{word}' is not a capability; capabilities:\n  {known}")
    networks, wanted = files(what, spec, network)
    check_readable(wanted, *networks.values())
    from boundmesh.commands.coverage import coverage

    covered = coverage(networks, wanted, shapes_of(shape))
    print_result("\n".join([*covered.lines, ""]))
    if covered.code:
        raise typer.Exit(covered.code)


def files(
    what: str | None, spec: str | None, network: list[str] | None
) -> tuple[dict[str | None, Path], Path | None]:
    """Return the networks by name, and the property; the arguments may stand in any order."""
    words = [word for word in (what, spec) if word is not None]
    specs = [word for word in words if Path(word).name.removesuffix(".gz").endswith(".vnnlib")]
    given = [word for word in words if word not in specs] + (network or [])
    if len(specs) > 1 or not given:
        raise BoundmeshError(
            "give a network, and at most one property of it, or a capability: "
            "boundmesh supports net.onnx spec.vnnlib"
        )
    return all_networks(given), Path(specs[0]) if specs else None
