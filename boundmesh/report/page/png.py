"""Writes pixels as PNG (ISO/IEC 15948), in the address of an image that needs no file."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB = 0, 2


def png(pixels: np.ndarray) -> bytes:
    """Return uint8 pixels `[height, width]` (grey) or `[height, width, 3]` (RGB) as a PNG file."""
    height, width = pixels.shape[:2]
    kind = GREY if pixels.ndim == 2 else RGB
    # Each line begins with the number of its filter; 0 is none.
    lines = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0)))
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    data = zlib.compress(lines.tobytes(), 9)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def address(pixels: np.ndarray) -> str:
    """Return pixels as a `data:` address, which contains the whole image."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
