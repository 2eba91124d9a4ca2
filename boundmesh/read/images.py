"""Reads a folder of images as inputs of a network, by way of Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from boundmesh.errors import BoundmeshError, ReadError, reason_of

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm",
                      ".pgm"))  # fmt: skip
MODES = {1: "L", 3: "RGB"}
WIDE = ("I", "F")
"""How the names of Pillow's modes with more than 8 bits for each channel begin."""


def read_folder(
    folder: Path, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Read all images of a folder, sorted by name, as float32 `[N, C, H, W]` from 0 to 1.

    `shape` is that of the network's input, `[1, C, H, W]` or `[1, H, W]`. Where images lie in
    subfolders, each subfolder is a class: the number that its name is, or its place in the order of
    names. Returns the images, the labels or None, and the file of each image.

    Raises ReadError for an image that is damaged or has another size than the network takes, and
    BoundmeshError where Pillow is not installed.
    """
    channels, height, width = _form(shape)
    files, labels = _files(folder)
    image = _pillow()
    images = np.empty((len(files), channels, height, width), dtype=np.float32)
    for place, file in enumerate(files):
        try:
            with image.open(file) as picture:
                _check(file, picture, width, height)
                pixels = np.asarray(picture.convert(MODES[channels]))
        except ReadError:
            raise
        # Pillow raises errors of many kinds for damaged files.
        except Exception as error:
            raise ReadError(f"{file}: cannot be read as an image: {reason_of(error)}") from None
        images[place] = pixels.reshape(height, width, channels).transpose(2, 0, 1) / np.float32(255)
    names = tuple(str(file.relative_to(folder)) for file in files)
    return images, labels, names


def _check(file: Path, picture: Any, width: int, height: int) -> None:
    """Raise ReadError for an image of another size, and for one whose pixels would be cut off."""
    if picture.size != (width, height):
        raise ReadError(
            f"{file}: the image is {picture.size[0]} wide and {picture.size[1]} high; the "
            f"network takes {width} by {height}, and resizing would change what is certified: "
            "resize the images first"
        )
    if picture.mode[:1] in WIDE:
        raise ReadError(
            f"{file}: the image has more than 8 bits for each pixel's channel (Pillow's mode "
            f"{picture.mode}), which would be cut off; give the inputs as .npy"
        )


def _form(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return channels, height and width of a network's input."""
    inner = shape[1:] if len(shape) > 2 and shape[0] == 1 else shape
    if len(inner) == 2:
        inner = (1, *inner)
    if len(inner) != 3 or inner[0] not in MODES:
        raise ReadError(
            f"the network takes {list(shape)}, and images have 1 or 3 channels, as in "
            "[1, 3, 32, 32]; give the inputs as .npy"
        )
    return inner[0], inner[1], inner[2]


def _files(folder: Path) -> tuple[list[Path], np.ndarray | None]:
    """Return the images of a folder, and labels where they lie in subfolders."""
    images = _images(folder)
    classes = sorted(part for part in _listed(folder) if part.is_dir() and _images(part))
    if images and classes:
        raise ReadError(
            f"{folder} has images of its own and images in subfolders, which would be their "
            "classes; keep one of the two"
        )
    if not images and not classes:
        kinds = " ".join(sorted(SUFFIXES))
        raise ReadError(f"{folder} has no images; expected files that end in one of {kinds}")
    if images:
        return images, None
    names = [part.name for part in classes]
    numbered = all(name.isdecimal() for name in names)
    numbers = [int(name) if numbered else place for place, name in enumerate(names)]
    files = [(file, label) for part, label in zip(classes, numbers, strict=True)
             for file in _images(part)]  # fmt: skip
    return [file for file, _ in files], np.array([label for _, label in files])


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in _listed(folder) if file.suffix.lower() in SUFFIXES)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise ReadError(f"{folder}: cannot be read: {reason_of(error)}") from None


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise BoundmeshError(
            "folders of images are read with Pillow, which is not installed: "
            "pip install 'boundmesh[images]', or give the inputs as .npy"
        ) from None
    return Image
