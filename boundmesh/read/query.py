"""Parses the text of a VNN-LIB file, 1.0 or 2.0, into its declarations and assertions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from boundmesh.errors import PropertyError
from boundmesh.property import Variable
from boundmesh.read.declarations import DeclaredNetwork, shown
from boundmesh.read.formula import Formula, Linear
from boundmesh.read.ranges import SimpleRanges, ranges_of, taken_out
from boundmesh.read.reader import Binding, Reader, unknown
from boundmesh.read.sexpr import fold
from boundmesh.runtime.collection import no_collection


@dataclass(frozen=True)
class Query:
    """The declarations and assertions of a file, without its network.

    path        the file
    version     `1` or `2`
    networks    the networks that it declares; version 1.0 declares none
    variables   the declared tensors, in the file's order; for version 1.0 they are X and Y, with
                one dim each
    assertions  the formulas; flat input i is the number i and flat output j the number −1 − j,
                counted over all networks, and product k is the number `of_product(k)`
    products    the factors of each product of variables
    ranges      bounds of inputs that hold as well as the assertions; None where those have all
    departures  in words, what the file has that the standard 2.0 does not
    """

    path: Path
    version: str
    """`1` or `2`."""
    networks: tuple[DeclaredNetwork, ...]
    variables: tuple[Variable, ...]
    assertions: tuple[Formula, ...]
    products: tuple[tuple[Linear, Linear], ...] = ()
    departures: tuple[str, ...] = ()
    ranges: SimpleRanges | None = None

    @cached_property
    def inputs(self) -> tuple[Variable, ...]:
        return tuple(variable for variable in self.variables if variable.role == "input")

    @cached_property
    def outputs(self) -> tuple[Variable, ...]:
        """The outputs and hidden values."""
        return tuple(variable for variable in self.variables if variable.role != "input")

    @property
    def network(self) -> str | None:
        """The name of the first network; None in version 1.0."""
        return self.networks[0].name if self.networks else None

    def name(self, number: int) -> str:
        """Return the file's name of the variable with this number."""
        variables, flat = (self.inputs, number) if number >= 0 else (self.outputs, -1 - number)
        variable = [candidate for candidate in variables if candidate.offset <= flat][-1]
        flat -= variable.offset
        index: list[str] = []
        for length in reversed(variable.shape):
            flat, place = divmod(flat, length)
            index.insert(0, str(place))
        if self.version == "1":
            return "_".join([variable.name, *index])
        return f"{variable.name}[{','.join(index)}]"


def parse(text: str, path: Path, strict: bool = False) -> Query:
    """Parse a file's text; raise PropertyError with file, line and reason where that fails."""
    with no_collection():
        rest, lines = taken_out(text)
        query = parsed(rest, path, strict)
        if not lines:
            return query
        ranges = ranges_of(lines, query.variables, query.version)
        return parsed(text, path, strict) if ranges is None else replace(query, ranges=ranges)


def parsed(text: str, path: Path, strict: bool) -> Query:
    """Parse a text form by form; raises the errors of `parse`."""
    reader = Reader(strict)
    for value in fold(text, str(path), reader.reduce, reader.reduce_words):
        if isinstance(value, Binding):
            raise PropertyError(f"{path}: {unknown(value.name, reader.heads)}")
        if value is not None:
            raise PropertyError(f"{path}: {shown(value)} is not a command; expected (assert …)")
    declared = reader.declarations
    try:
        variables = declared.variables()
    except PropertyError as error:
        raise PropertyError(f"{path}: {error}") from None
    if declared.headless:
        try:
            reader.departures.meet("files without (vnnlib-version <2.0>) in front")
        except PropertyError as error:
            raise PropertyError(f"{path}: {error}") from None
    networks, assertions = tuple(declared.networks.values()), tuple(reader.assertions)
    products, departures = tuple(reader.arithmetic.products), reader.departures.met
    return Query(path, declared.version, networks, variables, assertions, products, departures)
