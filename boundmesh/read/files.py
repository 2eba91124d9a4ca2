"""Bytes of a file, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from boundmesh.errors import ReadError

GZIP = b"\x1f\x8b"


def contents(path: Path) -> bytes:
    """What the file holds, decompressed if it is gzipped; ReadError where it cannot be read."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data.startswith(GZIP) else data
    except FileNotFoundError:
        raise ReadError(f"{path}: there is no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ReadError(f"{path}: cannot be read: {error}") from None
