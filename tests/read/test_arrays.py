"""Files of arrays are read, or refused in words, whatever bytes they hold."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from boundmesh.errors import BoundmeshError, ReadError
from boundmesh.read.arrays import load_numbers, read_dataset, read_labels
from tests.conftest import Command

MLP = Path(__file__).parents[2] / "examples" / "digits" / "mlp.onnx"


def saved(*, compressed: bool) -> bytes:
    file = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(file, x=np.arange(12.0).reshape(3, 4), y=np.arange(3))
    return file.getvalue()


def array(shape: str, dtype: str = "<f8") -> bytes:
    """A `.npy` of 64 bytes of numbers, whose header has this shape."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    padded = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + b"x" * 64


def packed(name: str, content: bytes, form: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", form) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def encrypted() -> bytes:
    """An archive whose list of parts has the flag of encryption."""
    data = bytearray(saved(compressed=False))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


DAMAGED = {
    "nothing": b"",
    "text": b"(assert (>= X_0 1))",
    "a magic number alone": b"\x93NUMPY\x09\x00",
    "a header that does not end": b"\x93NUMPY\x01\x00\x0a\x00{'descr': (",
    "a shape beyond memory": array("(1000000000000000,)"),
    "a shape beyond integers": array("(10000000000000000000000,)"),
    "a negative shape": array("(-8,)"),
    "an archive without an end": saved(compressed=False)[:60],
    "an archive of text": packed("x.npy", b"text"),
    "an archive with another file": packed("readme.txt", b"text"),
    "an archive that says it is encrypted": encrypted(),
}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_damaged_files_are_refused_by_name(tmp_path: Path, kind: str, suffix: str) -> None:
    file = tmp_path / f"x.{suffix}"
    file.write_bytes(DAMAGED[kind])
    with pytest.raises(ReadError, match=r"x\.np"):
        load_numbers(file)


@pytest.mark.parametrize("compressed", [False, True])
def test_no_changed_byte_ends_in_a_traceback(tmp_path: Path, compressed: bool) -> None:
    whole, file = saved(compressed=compressed), tmp_path / "x.npz"
    for seed in range(400):
        some, data = random.Random(seed), bytearray(whole)
        for _ in range(some.choice((1, 2, 5))):
            data[some.randrange(len(data))] ^= 1 << some.randrange(8)
        file.write_bytes(data[: some.randrange(len(data))] if seed % 5 == 0 else data)
        for read in (load_numbers, read_labels, lambda path: read_dataset(path, (1, 4))):
            try:
                read(file)
            except BoundmeshError as error:
                assert "x.npz" in str(error) or "memory" in str(error)


def test_a_file_that_is_no_array_is_told_as_such(command: Command, tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("1 2 3")
    (tmp_path / "damaged.npy").write_bytes(DAMAGED["a header that does not end"])
    for name in ("text.npy", "damaged.npy"):
        for words in (("certify", MLP, tmp_path / name, "--eps", 1),
                      ("bounds", "--network", MLP, "--input", tmp_path / name, "--eps", 1),
                      ("verify", MLP, "--input", tmp_path / name, "--eps", 1)):  # fmt: skip
            outcome = command(*words)
            assert (outcome.code, outcome.out) == (2, "")
            assert name in outcome.words and "defect" not in outcome.words
            assert "allow_pickle" not in outcome.words
