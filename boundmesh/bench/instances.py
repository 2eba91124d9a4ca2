"""Reads lists of instances as VNN-COMP has them: a line has a network, a property and a timeout."""

from __future__ import annotations

import csv
import io
import os
import re
from ast import literal_eval
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from boundmesh.errors import BoundmeshError, ReadError, reason_of

DECIDED = ("unsat", "sat")
UNDECIDED = ("", "unknown", "timeout", "timed-out", "error")
VERSION = re.compile(r"\d+(\.\d+)*")
POSITIONS = ("onnx", "vnnlib", "timeout", "expected")


@dataclass(frozen=True)
class Instance:
    """A line of a list.

    family    the name of the list's folder, or of the one above where that is a version, as in
              `cersyve/1.0/instances.csv`
    onnx      the network's file, as written in the list; several as `[('f', 'a.onnx'), …]`
    vnnlib    the property's file, as written in the list
    folder    the folder of the list
    timeout   seconds, or None
    expected  `unsat`, `sat`, or empty where the answer is not known
    """

    family: str
    onnx: str
    vnnlib: str
    folder: Path
    timeout: float | None
    expected: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The fields that identify the instance in another run."""
        return self.family, self.onnx, self.vnnlib

    @property
    def networks(self) -> dict[str | None, Path]:
        """The file of each network by its name; the key None stands for the only one.

        Raises ReadError where the list names several in another form.
        """
        if not self.onnx.startswith("["):
            return {None: _file(self.folder / self.onnx)}
        try:
            pairs = dict(literal_eval(self.onnx))
            return {str(name): _file(self.folder / str(file)) for name, file in pairs.items()}
        except (ValueError, TypeError, SyntaxError):
            raise ReadError(
                f"the networks are {self.onnx}; expected [('f', 'a.onnx'), ('g', 'b.onnx')]"
            ) from None

    @property
    def network(self) -> str:
        """The networks' files as text, with their names where there are several."""
        files = self.networks.items()
        return " ".join(str(file) if name is None else f"{name}={file}" for name, file in files)

    @property
    def property(self) -> Path:
        return _file(self.folder / self.vnnlib)

    def __str__(self) -> str:
        return " ".join(self.key)


def read_instances(files: Sequence[Path]) -> list[Instance]:
    """Read the instances of several lists, one family each; an instance named twice counts once.

    Raises ReadError, with file, line and reason, for what is no list of instances, and
    BoundmeshError where two lists lie in folders of the same name.
    """
    instances: dict[tuple[str, str, str], Instance] = {}
    homes: dict[str, Path] = {}
    for file in files:
        # Path.resolve fails where links form a circle.
        folder = Path(os.path.realpath(file)).parent
        family = folder.parent.name if VERSION.fullmatch(folder.name) else folder.name
        if homes.setdefault(family, file) != file:
            raise BoundmeshError(
                f"{homes[family]} and {file} are both of the family '{family}', the name of their "
                "folder; run them one at a time, each with an --out of its own"
            )
        for instance in _read(file, family):
            instances.setdefault(instance.key, instance)
    return list(instances.values())


def select(instances: Iterable[Instance], pattern: str | None, every: int) -> list[Instance]:
    """Select every K-th instance of a family among those that match the pattern.

    The pattern is searched in the text `family onnx vnnlib`.
    """
    try:
        wanted = re.compile(pattern or "")
    except re.error as error:
        raise BoundmeshError(f"--select '{pattern}' is no regular expression: {error}") from None
    families: dict[str, list[Instance]] = {}
    for instance in instances:
        if wanted.search(str(instance)):
            families.setdefault(instance.family, []).append(instance)
    if not families:
        raise BoundmeshError(f"--select '{pattern}' is found in no 'family onnx vnnlib' of a list")
    return [instance for members in families.values() for instance in members[::every]]


def _read(file: Path, family: str) -> list[Instance]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ReadError(f"{file}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = reason_of(error)
        raise ReadError(f"{file}: cannot be read as a list of instances: {reason}") from None
    columns: Sequence[str] = POSITIONS
    instances: list[Instance] = []
    rows = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    for row in _lines(rows, file):
        cells = joined([cell.strip() for cell in row])
        if {"onnx", "vnnlib"} <= set(cells) and not instances:
            columns = cells
        elif any(cells):
            try:
                instances.append(_instance(cells, columns, family, file.absolute().parent))
            except ValueError as error:
                raise ReadError(f"{file}:{rows.line_num}: {error}") from None
    if not instances:
        raise ReadError(f"{file}: holds no instance; expected lines onnx,vnnlib,timeout")
    return instances


def joined(cells: list[str]) -> list[str]:
    """Return the cells with a list of networks as one cell, where it stands without quotes."""
    first = next((i for i, cell in enumerate(cells) if cell.startswith("[")), None)
    last = next((i for i, cell in enumerate(cells) if cell.endswith("]")), None)
    if first is None or last is None or last <= first:
        return cells
    return [*cells[:first], ", ".join(cells[first : last + 1]), *cells[last + 1 :]]


def _lines(rows: Iterable[list[str]], file: Path) -> Iterator[list[str]]:
    """Return the lines of a list; raise ReadError where one is no line of CSV."""
    try:
        yield from rows
    except csv.Error as error:
        raise ReadError(f"{file}: cannot be read as a list of instances: {error}") from None


def _instance(cells: list[str], columns: Sequence[str], family: str, folder: Path) -> Instance:
    """Make the instance of one line; raise ValueError where the line is no instance."""
    named = dict(zip(columns, cells, strict=False))
    onnx, vnnlib = named.get("onnx", ""), named.get("vnnlib", "")
    if not onnx or not vnnlib:
        raise ValueError(f"'{','.join(cells)}' names no network or no property")
    if "\n" in onnx + vnnlib:
        raise ValueError("a file's name goes over several lines; is a quotation mark missing?")
    timeout = _seconds(named.get("timeout", ""))
    expected = named.get("expected", "").lower()
    if expected not in DECIDED:
        # A fourth column without a name may hold anything.
        if expected not in UNDECIDED and columns is not POSITIONS:
            known = " ".join(word for word in (*DECIDED, *UNDECIDED) if word)
            raise ValueError(f"expected is '{expected}'; known: {known}, or empty")
        expected = ""
    instance = Instance(family, onnx, vnnlib, folder, timeout, expected)
    try:
        _ = instance.networks
    except ReadError as error:
        raise ValueError(str(error)) from None
    return instance


def _seconds(text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"timeout is '{text}'; expected seconds > 0")
    return seconds


def _file(path: Path) -> Path:
    """Return the file, or its gzipped form if only that exists, as lists often leave out `.gz`."""
    packed = path.with_name(f"{path.name}.gz")
    return packed if not path.exists() and packed.exists() else path
