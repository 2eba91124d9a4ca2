"""Checks before any run whether a network, and a property of it, can be bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from boundmesh.errors import BoundmeshError

COMPLETE, INCOMPLETE, UNCERTAIN = 0, 1, 3
"""The exit codes: all can be bounded; something cannot; a length that is open decides."""


class Coverage:
    """The lines about what can be bounded, and the exit code that sums them up."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.code = COMPLETE

    def refuse(self, *lines: str) -> None:
        """Add lines about something that cannot be bounded."""
        self.lines += lines
        self.code = INCOMPLETE


def coverage(
    networks: Mapping[str | None, Path], spec: Path | None, shapes: Mapping[str, tuple[int, ...]]
) -> Coverage:
    """Check the networks, given by name, and the property. Nothing is run or bounded but intervals.

    Raises ReadError for a file that is neither an ONNX network nor a property, and for a shape of
    an input that no network has.
    """
    from boundmesh.read.open_axes import check_names

    found = Coverage()
    inputs = [check_network(found, name, file, spec, shapes) for name, file in networks.items()]
    if all(inputs):
        check_names(shapes, (name for names in inputs for name in names))
    if spec is not None:
        check_property(found, networks, spec, shapes)
    return found


def check_network(
    coverage: Coverage,
    name: str | None,
    file: Path,
    spec: Path | None,
    shapes: Mapping[str, tuple[int, ...]],
) -> list[str]:
    """Add what can be bounded of one network; return the names of its inputs, if they are known."""
    from boundmesh.read.open_axes import KnownShapes, declared_in
    from boundmesh.read.survey import survey
    from boundmesh.report.support import of_survey

    declared = declared_in(spec)
    known = replace(declared.known, by_name=shapes)
    seen = survey(file, KnownShapes(by_name=shapes) if declared.several else known)
    if seen.open_axis and declared.several:
        seen = survey(file, known)
    failed = bool(seen.refused or seen.unseen or seen.problem)
    answer = (
        "cannot be bounded"
        if failed
        else "cannot be checked until its lengths are given"
        if seen.open_axis
        else "can be bounded"
    )
    title = str(file) if name is None else f"{name}={file}"
    coverage.lines += [f"{title}: {answer} (opset {seen.opset})", *of_survey(seen)]
    if failed:
        coverage.code = INCOMPLETE
    elif seen.open_axis and coverage.code == COMPLETE:
        coverage.code = UNCERTAIN
    return [port.name for port in seen.inputs]


def check_property(
    coverage: Coverage,
    networks: Mapping[str | None, Path],
    spec: Path,
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    from boundmesh.api.reading import load_one
    from boundmesh.read import vnnlib
    from boundmesh.read.networks import graphs_of
    from boundmesh.report.support import of_query

    query = vnnlib.read(spec)
    if coverage.code != COMPLETE:
        coverage.lines.append(f"{spec}: is read, and not checked against the network")
        return
    try:
        load = partial(load_one, shapes=shapes, property=spec)
        graph, prop = vnnlib.join(query, graphs_of(query, networks, load))
    except BoundmeshError as error:
        coverage.refuse(f"{spec}: cannot be asked", f"  refused   {error}")
        return
    lines = [*of_query(query, prop), *needs(graph, prop)]
    answer = "can be asked, and a proof needs more" if prop.unbounded else "can be asked"
    coverage.lines += [f"{spec}: {answer}", *lines]
    if prop.unbounded or any(line.startswith("  refused") for line in lines):
        coverage.code = INCOMPLETE


def needs(graph: object, prop: object) -> Iterator[str]:
    """Describe the arithmetic that a proof holds in, and values whose bounds are infinite."""
    from boundmesh.graph.graph import Graph
    from boundmesh.proof.guarantee import arithmetic
    from boundmesh.proof.infinite import first_infinite
    from boundmesh.property import Property
    from boundmesh.report.support import of_infinite
    from boundmesh.report.words import of_arithmetic
    from boundmesh.settings import Settings

    assert isinstance(graph, Graph) and isinstance(prop, Property)
    try:
        yield f"  rounding  {of_arithmetic(arithmetic(graph, Settings(), prop))}"
    except BoundmeshError as error:
        yield f"  refused   {error}"
    if prop.cases and not prop.unbounded:
        infinite = first_infinite(graph, prop.cases[0].region)
        if infinite is not None:
            yield of_infinite(infinite)
