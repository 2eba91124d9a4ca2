"""Finds out where inputs are an image, and draws inputs and their differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from boundmesh.report.page.png import address

SMALLEST, SMALLEST_FLAT = 4, 8
"""The shortest side of an image, and of one whose inputs have no rows and columns."""
CHANNELS = (1, 3)
BYTES = 32.0
"""Values from 0 up to more than this, and at most 255, are bytes."""
LESS, SAME, MORE = (33, 102, 172), (247, 247, 247), (178, 24, 43)
"""The colours of a pixel that becomes smaller, stays, and becomes greater: blue, white, red."""


@dataclass(frozen=True)
class ImageShape:
    """How flat inputs form an image. `last` is True where the channels come last."""

    channels: int
    height: int
    width: int
    last: bool = False

    def pixels(self, flat: np.ndarray) -> np.ndarray:
        """Return flat inputs as `[height, width, channels]`."""
        if self.last:
            return flat.reshape(self.height, self.width, self.channels)
        return np.moveaxis(flat.reshape(self.channels, self.height, self.width), 0, 2)

    def channel_of(self, flat: np.ndarray) -> np.ndarray:
        """Return the channel of each flat input, as whole numbers."""
        places = np.arange(flat.size)
        return places % self.channels if self.last else places // (self.height * self.width)

    @property
    def words(self) -> str:
        """The size in words, as in `28 × 28 pixels`."""
        colours = " in three colours" if self.channels == 3 else ""
        return f"{self.height} × {self.width} pixels{colours}"


@dataclass(frozen=True)
class Picture:
    """A picture: the address that contains it, its title, its caption, and what it shows."""

    source: str
    title: str
    caption: str
    alternative: str
    height: int
    width: int


def image_shape(shapes: Sequence[Sequence[int]], values: np.ndarray) -> ImageShape | None:
    """Return how the inputs form an image, or None where they seem to be none.

    `shapes` are the shapes of the input tensors, and `values` are those of one or more inputs.
    Inputs with channels (1 or 3), rows and columns are an image. Those with rows and columns alone,
    and flat ones whose number is that of a square image, are an image where all values lie between
    0 and 1 or between 0 and 255.
    """
    if len(shapes) != 1:
        return None
    size, sides = math.prod(shapes[0]), list(shapes[0])
    if len(sides) >= 2 and sides[0] == 1:
        sides = sides[1:]
    if len(sides) == 3:
        first, *_, last = sides
        if first in CHANNELS and min(sides[1:]) >= SMALLEST:
            return ImageShape(first, sides[1], sides[2])
        if last in CHANNELS and min(sides[:2]) >= SMALLEST:
            return ImageShape(last, sides[0], sides[1], last=True)
        return None
    if _usual_range(values) is None:
        return None
    if len(sides) == 2 and min(sides) >= SMALLEST_FLAT:
        return ImageShape(1, sides[0], sides[1])
    for channels in CHANNELS:
        side = math.isqrt(size // channels)
        if channels * side**2 == size and side >= SMALLEST_FLAT:
            return ImageShape(channels, side, side)
    return None


def value_range(values: np.ndarray) -> tuple[float, float]:
    """Return the values of black and white: 0 and 1 or 255, else the least and the greatest."""
    return _usual_range(values) or (float(values.min()), float(values.max()))


def _usual_range(values: np.ndarray) -> tuple[float, float] | None:
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255 or 1 < high < BYTES:
        return None
    return (0.0, 1.0) if high <= 1 else (0.0, 255.0)


def drawn(flat: np.ndarray, shape: ImageShape, values: tuple[float, float]) -> str:
    """Draw flat inputs; `values` are the values of black and white."""
    low, high = values
    share = (shape.pixels(flat) - low) / ((high - low) or 1.0)
    pixels = np.clip(np.rint(255 * share), 0, 255).astype(np.uint8)
    return address(pixels[..., 0] if shape.channels == 1 else pixels)


def drawn_difference(change: np.ndarray, shape: ImageShape) -> str:
    """Draw a flat difference; the largest change has the fullest colour.

    A grey image becomes blue where it is smaller, and red where it is greater. An image of three
    colours is grey where it is unchanged, and lighter or darker in each colour.
    """
    largest = float(np.abs(change).max(initial=0)) or 1.0
    share = shape.pixels(change) / largest
    if shape.channels == 3:
        return address(np.rint(127.5 * (1 + share)).astype(np.uint8))
    towards = np.where(share < 0, np.array(LESS), np.array(MORE))
    pixels = np.array(SAME) + np.abs(share) * (towards - np.array(SAME))
    return address(np.rint(pixels).astype(np.uint8))
