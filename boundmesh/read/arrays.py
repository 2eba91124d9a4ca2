"""Reads inputs and labels: `.npy` and `.npz` files, and folders of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boundmesh.errors import DeviceError, ReadError, reason_of
from boundmesh.read.images import read_folder
from boundmesh.runtime.memory import refuse_beyond

INPUTS = ("x", "inputs", "images", "x_test", "data", "arr_0")
LABELS = ("y", "labels", "targets", "y_test", "arr_1")
"""The names of arrays in `.npz` files, the first one that is there."""


@dataclass(frozen=True)
class Dataset:
    """Inputs, their labels, and what they are called.

    inputs  `[N, …]`
    labels  `[N]`, or None where the file has none
    names   the file of each image; empty where inputs come from an array
    """

    inputs: np.ndarray
    labels: np.ndarray | None = None
    names: tuple[str, ...] = ()

    def first(self, count: int | None) -> Dataset:
        """Return the first `count` inputs, or all."""
        labels = None if self.labels is None else self.labels[:count]
        return Dataset(self.inputs[:count], labels, self.names[:count])


def read_dataset(path: Path, shape: tuple[int, ...]) -> Dataset:
    """Read inputs from a file or folder; images get the form of the network's input `shape`.

    Raises ReadError for a file of another kind, and where a `.npz` does not tell its inputs.
    """
    if path.is_dir():
        return Dataset(*read_folder(path, shape))
    numbers = load_numbers(path)
    if isinstance(numbers, np.ndarray):
        return Dataset(numbers)
    names = [name for name in INPUTS if name in numbers]
    labels = [name for name in LABELS if name in numbers]
    inputs = names[0] if names else next(iter(numbers)) if len(numbers) == 1 else None
    if inputs is None:
        raise ReadError(
            f"{path} holds the arrays {', '.join(numbers) or '(none)'}; expected inputs under one "
            f"of the names {', '.join(INPUTS)}, and labels under one of {', '.join(LABELS)}"
        )
    return Dataset(numbers[inputs], numbers[labels[0]] if labels else None)


def read_labels(path: Path) -> np.ndarray:
    """Read the labels in a `.npy` file, or in a `.npz` file under one of the usual names."""
    numbers = load_numbers(path)
    if isinstance(numbers, np.ndarray):
        return numbers
    names = [name for name in LABELS if name in numbers]
    name = names[0] if names else next(iter(numbers)) if len(numbers) == 1 else None
    if name is None:
        raise ReadError(
            f"{path} holds the arrays {', '.join(numbers) or '(none)'}; expected labels under one "
            f"of the names {', '.join(LABELS)}"
        )
    return numbers[name]


def load_numbers(path: Path) -> np.ndarray | Mapping[str, np.ndarray]:
    """Read the array of a `.npy` file, or the arrays of a `.npz` file by name.

    Raises ReadError for other files, and for arrays of anything but real numbers.
    """
    loaded = load_file(path, ".npy or .npz", "; images are read from a folder")
    arrays = {"": loaded} if isinstance(loaded, np.ndarray) else loaded
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            which = f"array '{name}' of {path}" if name else str(path)
            raise ReadError(f"{which} holds {array.dtype}; expected real numbers")
    return loaded


def load_file(path: Path, form: str, advice: str = "") -> np.ndarray | Mapping[str, np.ndarray]:
    """Read the array of a `.npy` file, or the arrays of a `.npz` file by name, of any type.

    `form` and `advice` are parts of the message of the ReadError that is raised for anything else.
    Raises DeviceError where the arrays do not fit into memory.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            size = sum(part.file_size for part in loaded.zip.infolist())
            refuse_beyond(f"the arrays in {path}", size, "give fewer inputs at one time")
            arrays = {name: loaded[name] for name in loaded.files}
        if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise ReadError(f"'{others[0]}' in it is no array")
        return arrays
    except DeviceError:
        raise
    # NumPy, zipfile, zlib and tokenize raise errors of many kinds for damaged files.
    except Exception as error:
        reason = reason_of(error) if isinstance(error, OSError | ReadError) else f"{error}"
        if "pickle" in reason:
            # NumPy takes every content of another form for pickled objects.
            reason = "it is no such file, or holds Python objects"
        if isinstance(error, FileNotFoundError):
            raise ReadError(f"{path}: there is no such file or folder") from None
        raise ReadError(f"cannot read {path} as {form}: {reason}{advice}") from None
