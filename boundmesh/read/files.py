"""Reads the bytes of a file, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from io import BytesIO
from pathlib import Path
from typing import IO

from boundmesh.errors import ReadError, reason_of
from boundmesh.runtime.memory import gibibytes, host_bytes

GZIP = b"\x1f\x8b"
CHUNK = 2**20
# One byte of gzip unpacks to at most about a thousand; networks and properties unpack to far fewer.
RATIO = 200
# Smaller contents are always unpacked, however well they were packed.
SMALL = 2**26
# Reading makes copies: the protocol buffers and arrays of a network, or the tokens of a text.
COPIES = 4


def contents(path: Path, copies: int = COPIES) -> bytes:
    """Return the bytes of the file, decompressed if it is gzipped.

    Raises ReadError where the file cannot be read. It is also raised, before memory is taken, where
    `copies` copies of the content cannot fit into memory, or where a small file unpacks to far more
    than any network or property would.
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
        raise ReadError(f"{path}: cannot be read: {reason_of(error)}") from None


def _collected(
    file: IO[bytes] | gzip.GzipFile, path: Path, copies: int, most: float = math.inf
) -> bytes:
    """Read a file in pieces.

    Reading goes on as long as `copies` copies fit into memory and there are at most `most` bytes.
    """
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
