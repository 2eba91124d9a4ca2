"""Bytes of a file, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from io import BytesIO
from pathlib import Path
from typing import IO

from boundmesh.errors import ReadError
from boundmesh.runtime.memory import gibibytes, host_bytes

GZIP = b"\x1f\x8b"
CHUNK = 2**20
# gzip makes at most about a thousand bytes of one; a network or a property is far from that.
RATIO = 200
# Smaller contents are no danger, however well they were packed.
SMALL = 2**26
# Reading makes copies: protocol buffers and arrays of a network, tokens of a text.
COPIES = 4


def contents(path: Path, copies: int = COPIES) -> bytes:
    """What the file holds, decompressed if it is gzipped.

    Raises ReadError where it cannot be read, and, before that takes memory, where `copies` times
    what it holds cannot fit into it or a small file unpacks to what no network or property packs
    to.
    """
    try:
        with path.open("rb") as file:
            data = _collected(file, path, copies)
        if not data.startswith(GZIP):
            return data
        with gzip.GzipFile(fileobj=BytesIO(data)) as unpacked:
            return _collected(unpacked, path, copies, max(SMALL, RATIO * len(data)))
    except FileNotFoundError:
        raise ReadError(f"{path}: there is no such file") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ReadError(f"{path}: cannot be read: {error}") from None


def _collected(
    file: IO[bytes] | gzip.GzipFile, path: Path, copies: int, most: float = math.inf
) -> bytes:
    """All of a file, in pieces, as long as `copies` of it fit into memory and it holds no more
    than `most` bytes."""
    there, held = host_bytes(), bytearray()
    while piece := file.read(CHUNK):
        held += piece
        if len(held) > most:
            raise ReadError(
                f"{path}: unpacks to {gibibytes(len(held))} and more, {RATIO} times what it takes "
                "packed, which no network or property does; unpack it yourself if you trust it"
            )
        if there is not None and copies * len(held) > there and len(held) > SMALL:
            raise ReadError(
                f"{path}: holds {gibibytes(len(held))} and more, reading which takes about "
                f"{copies} times as much memory, and {gibibytes(there)} are available; use a "
                "machine with more memory"
            )
    return bytes(held)
