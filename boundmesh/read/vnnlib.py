"""Reads properties from VNN-LIB files, versions 1.0 and 2.0, plain or gzipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from boundmesh.errors import PropertyError, ReadError
from boundmesh.graph.graph import Port
from boundmesh.property import Atom, Box, Case, Clause, Property, Variable
from boundmesh.read.files import contents
from boundmesh.read.normal_form import normal_form
from boundmesh.read.query import Query, parse
from boundmesh.read.sexpr import COMMENT

# The character that replaces bytes that are not UTF-8.
UNREADABLE = "\ufffd"

# The tokens of a text and their values take so many times the memory of the text.
TEXT_COPIES = 32


def read(path: Path | str) -> Query:
    """Read the declarations and assertions of a file, without its network.

    Raises ReadError for a file that cannot be read, and PropertyError, with file, line and reason,
    for one that is malformed or that boundmesh cannot verify.
    """
    path = Path(path)
    # Only comments may be in another encoding.
    text = contents(path, TEXT_COPIES).decode("utf-8-sig", errors="replace")
    if UNREADABLE in text and UNREADABLE in COMMENT.sub("", text):
        raise ReadError(f"{path}: not a text file; expected a VNN-LIB property in UTF-8")
    return parse(text, path)


def load(path: Path | str, inputs: Sequence[Port], outputs: Sequence[Port]) -> Property:
    """Read the property in a file, over the flat input and output of a network with these ports.

    Every number is exact. Raises the errors of `read`. Raises PropertyError where the declarations
    do not fit the ports, an input has no bounds, or the normal form has too many conjunctions.
    """
    return fit(read(path), inputs, outputs)


def fit(query: Query, inputs: Sequence[Port], outputs: Sequence[Port]) -> Property:
    """Make the property of a query for a network with these ports; raises the errors of `load`."""
    try:
        into = places(query.inputs, inputs, query.version)
        out = places(query.outputs, outputs, query.version)
        sizes = sum(port.size for port in inputs), sum(port.size for port in outputs)
        cases, warnings = normal_form(query.assertions, sizes[0], query.name)
    except PropertyError as error:
        raise PropertyError(f"{query.path}: {error}") from None
    offsets = {**into, **out}
    moved = tuple(replace(each, offset=offsets[each.name]) for each in query.variables)
    if moved != query.variables:
        cases = moved_cases(cases, order(query.inputs, into), order(query.outputs, out))
    return Property(cases, *sizes, moved, warnings)


def places(variables: Sequence[Variable], ports: Sequence[Port], version: str) -> dict[str, int]:
    """Return where each declared tensor starts in the flat value of the ports.

    Tensors and ports are matched by ONNX names where all are given, else by order (VNN-LIB 2.0,
    "Multiple input and output declarations").
    """
    role = variables[0].role
    if version == "1":
        size, declared = sum(port.size for port in ports), variables[0].size
        if size != declared:
            raise PropertyError(
                f"it declares {declared} {role}s ({variables[0].name}_0 …), the network has {size}"
            )
        return {variables[0].name: 0}
    if len(variables) != len(ports):
        raise PropertyError(
            f"it declares {len(variables)} {role} tensors, the network has {len(ports)}"
        )
    by_name = {port.name: port for port in ports}
    starts, start = {}, 0
    for port in ports:
        starts[port.name] = start
        start += port.size
    chosen = [each.onnx_name for each in variables if each.onnx_name is not None]
    if len(chosen) < len(variables):
        chosen = [port.name for port in ports]
    if sorted(chosen) != sorted(by_name):
        raise PropertyError(f"it names the {role}s {chosen}, the network {list(by_name)}")
    for variable, port_name in zip(variables, chosen, strict=True):
        check(variable, by_name[port_name])
    return {each.name: starts[port_name] for each, port_name in zip(variables, chosen, strict=True)}


def check(variable: Variable, port: Port) -> None:
    """Axes of length 1 do not move an element, so they may be left out of either shape."""
    declared, shape = ([n for n in each.shape if n != 1] for each in (variable, port))
    if declared != shape:
        raise PropertyError(
            f"{variable.role} {variable.name} is declared {list(variable.shape)}, "
            f"the network's '{port.name}' is {list(port.shape)}"
        )
    if variable.element_type not in ("", "Real", port.dtype):
        raise PropertyError(
            f"{variable.role} {variable.name} is declared {variable.element_type}, "
            f"the network's '{port.name}' is {port.dtype}; declare that, or Real"
        )


def order(variables: Sequence[Variable], starts: dict[str, int]) -> np.ndarray:
    """Return the place in the network's flat value of each element, in order of declaration."""
    return np.concatenate([starts[each.name] + np.arange(each.size) for each in variables])


def moved_cases(cases: tuple[Case, ...], into: np.ndarray, out: np.ndarray) -> tuple[Case, ...]:
    """Return the same cases over flat values in the network's order."""

    def atom(old: Atom) -> Atom:
        inputs = sorted((int(into[place]), c) for place, c in old.inputs)
        outputs = sorted((int(out[place]), c) for place, c in old.outputs)
        return Atom(tuple(inputs), tuple(outputs), old.bound, old.strict)

    back = np.argsort(into)
    moved = []
    for case in cases:
        assert isinstance(case.region, Box)
        box = case.region.reordered(back)
        clauses = (Clause(tuple(atom(each) for each in clause.atoms)) for clause in case.clauses)
        moved.append(Case(box, tuple(clauses)))
    return tuple(moved)
