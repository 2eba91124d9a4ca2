"""Fixes the lengths that a network leaves open: by the user, by a property, or by an example."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from boundmesh.errors import ReadError
from boundmesh.read.files import contents

Length = int | str | None
"""The length of an axis as a file declares it: a number, a symbol, or nothing."""

Opened = TypeVar("Opened")

COMMENT = re.compile(rb";[^\n\r]*")
NETWORK = re.compile(rb"\(\s*declare-network\s")
NUMBERED = re.compile(rb"\(\s*declare-(?:const|fun)\s+X_(\d+)\s")
SHAPED = re.compile(rb"\(\s*declare-input\s+(\S+)\s+\S+\s*\[([\d\s,]*)\]")


@dataclass(frozen=True)
class KnownShapes:
    """What is known of the shapes of a network's inputs beside its file.

    by_name  the shape of each input by its name
    by_order the shapes of the inputs in the file's order, which count where they fit (None: not
             known)
    size     how many numbers all inputs have together (None: not known)
    """

    by_name: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    by_order: Sequence[tuple[int, ...]] | None = None
    size: int | None = None


UNKNOWN = KnownShapes()


class OpenAxisError(ReadError):
    """An input has an axis of open length."""


@dataclass(frozen=True)
class DeclaredShapes:
    """The shapes that the file of a property declares for the inputs of its networks.

    known    the shapes, or how many numbers there are
    several  True if the property is about several networks; each of them may have the shapes
    """

    known: KnownShapes = UNKNOWN
    several: bool = False

    def opened(
        self,
        load: Callable[[KnownShapes], Opened],
        by_name: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Opened:
        """Return what `load` returns for these shapes and those that are given by name.

        The declarations of a property of several networks count where a network cannot be read
        without them.
        """
        given = KnownShapes(by_name=by_name or {})
        declared = replace(self.known, by_name=given.by_name)
        if not self.several:
            return load(declared)
        try:
            return load(given)
        except OpenAxisError:
            return load(declared)


def declared_in(property: str | Path | None) -> DeclaredShapes:
    """Return the shapes that the file of a property declares; none where there is no file."""
    if property is None:
        return DeclaredShapes()
    text = COMMENT.sub(b"", contents(Path(property)))
    return DeclaredShapes(of_text(text), len(NETWORK.findall(text)) > 1)


def of_text(text: bytes) -> KnownShapes:
    """Return the shapes of inputs that the declarations of a VNN-LIB file give.

    VNN-LIB 2.0 declares shapes, and earlier versions one variable X_0, X_1, … for each number.
    """
    shapes = [
        tuple(int(length) for length in dims.replace(b",", b" ").split())
        for _, dims in SHAPED.findall(text)
    ]
    if shapes:
        return KnownShapes(by_order=shapes, size=sum(map(math.prod, shapes)))
    numbers = [int(number) for number in NUMBERED.findall(text)]
    return KnownShapes(size=max(numbers) + 1 if numbers else None)


def fixed(
    name: str, place: int, lengths: Sequence[Length], alone: bool, known: KnownShapes
) -> tuple[int, ...]:
    """Return the shape of input `place`, whose axes the file declares with `lengths`.

    A leading axis of open length is the batch axis, which is 1 unless a shape is known. Axes of one
    symbol have one length. If the input is `alone`, the number of all inputs can give one length
    that is still open. Raises OpenAxisError where a length stays open, and ReadError where a given
    shape does not fit the file.
    """
    if name in known.by_name:
        return _checked(name, lengths, known.by_name[name])
    # The one shape of several inputs is that of their numbers in a row.
    declared = known.by_order if alone or len(known.by_order or ()) > 1 else None
    if declared is not None and place < len(declared) and _fits(lengths, declared[place]):
        return declared[place]
    batch = lengths[0] if lengths else None
    known_lengths: list[int | None] = [
        length
        if isinstance(length, int) and length > 0
        else 1
        if axis == 0 or (isinstance(length, str) and length == batch)
        else None
        for axis, length in enumerate(lengths)
    ]
    still = [axis for axis, length in enumerate(known_lengths) if length is None]
    symbols = {lengths[axis] for axis in still}
    same = len(still) == 1 or (len(symbols) == 1 and None not in symbols)
    if still and same and alone and known.size:
        share = known.size / math.prod(length for length in known_lengths if length is not None)
        length = round(share ** (1 / len(still)))
        if length ** len(still) == share:
            known_lengths = [
                length if known_length is None else known_length for known_length in known_lengths
            ]
            still = []
    if still:
        shape = ",".join("?" if length is None else str(length) for length in known_lengths)
        raise OpenAxisError(
            f"input '{name}' has shape {list(lengths)}, whose axis {still[0]} has no fixed length: "
            f"give its shape, as in --shape {name}={shape} with numbers for '?', or use a property "
            "that declares it"
        )
    return tuple(length for length in known_lengths if length is not None)


def check_names(shapes: Iterable[str], inputs: Iterable[str]) -> None:
    """Raise ReadError where a shape is given for a name that no input has."""
    known = tuple(inputs)
    for name in shapes:
        if name not in known:
            raise ReadError(
                f"a shape is given for '{name}', which is no input; the inputs are "
                f"{', '.join(known)}"
            )


def _checked(name: str, lengths: Sequence[Length], given: tuple[int, ...]) -> tuple[int, ...]:
    """Return the given shape; raise ReadError where it contradicts the file."""
    if not _fits(lengths, given):
        raise ReadError(
            f"input '{name}' has shape {list(lengths)} in the network, and {list(given)} was given"
        )
    return given


def _fits(lengths: Sequence[Length], given: tuple[int, ...]) -> bool:
    """Return True if a shape agrees with what the file declares."""
    symbols: dict[str, int] = {}
    if len(given) != len(lengths) or not all(length > 0 for length in given):
        return False
    for declared, length in zip(lengths, given, strict=True):
        if isinstance(declared, int) and declared > 0 and declared != length:
            return False
        if isinstance(declared, str) and symbols.setdefault(declared, length) != length:
            return False
    return True
