"""Reads properties from VNN-LIB files, versions 1.0 and 2.0, plain or gzipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from boundmesh.errors import ReadError
from boundmesh.graph.graph import Port
from boundmesh.property import Property
from boundmesh.read.files import contents
from boundmesh.read.fit import fit, join
from boundmesh.read.query import Query, parse
from boundmesh.read.sexpr import COMMENT

__all__ = ["fit", "join", "load", "read"]

# The character that replaces bytes that are not UTF-8.
UNREADABLE = "\ufffd"

# The tokens of a text and their values take so many times the memory of the text.
TEXT_COPIES = 32


def read(path: Path | str, strict: bool = False) -> Query:
    """Read the declarations and assertions of a file, without its network.

    With `strict` a file of version 2.0 is refused where it departs from the standard.

    Raises ReadError for a file that cannot be read, and PropertyError, with file, line and reason,
    for one that is malformed or that boundmesh cannot verify.
    """
    path = Path(path)
    # Only comments may be in another encoding.
    text = contents(path, TEXT_COPIES).decode("utf-8-sig", errors="replace")
    if UNREADABLE in text and UNREADABLE in COMMENT.sub("", text):
        raise ReadError(f"{path}: not a text file; expected a VNN-LIB property in UTF-8")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return parse(text, path, strict)


def load(path: Path | str, inputs: Sequence[Port], outputs: Sequence[Port]) -> Property:
    """Read the property in a file, over the flat input and output of a network with these ports.

    Every number is exact. Raises the errors of `read`. Raises PropertyError where the declarations
    do not fit the ports, an input has no bounds, or the normal form has too many conjunctions.
    """
    return fit(read(path), inputs, outputs)
