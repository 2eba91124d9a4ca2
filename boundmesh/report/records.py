"""The file of a benchmark's results: one line per instance, readable even if it was cut off."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from boundmesh.errors import BoundmeshError, ReadError, reason_of

SOLVED = ("unsat", "sat")
VERDICTS = (*SOLVED, "unknown", "timed-out", "error")


@dataclass(frozen=True)
class Record:
    """The result of one instance.

    family    the family that the instance belongs to
    onnx      the network's file, as in the list
    vnnlib    the property's file, as in the list
    timeout   seconds, or None
    expected  the expected verdict; empty where unknown
    verdict   the verdict's word, or `error`
    seconds   wall time, reading included
    stage     the stage that decided, else the last one
    bound     the best margin, or None
    peak_mib  the peak of memory in MiB
    device    the device's name
    reason    why there is no decision
    """

    family: str
    onnx: str
    vnnlib: str
    timeout: float | None
    expected: str
    verdict: str
    seconds: float
    stage: str
    bound: float | None
    peak_mib: float
    device: str
    reason: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The fields that identify the instance in another run."""
        return self.family, self.onnx, self.vnnlib

    @property
    def wrong(self) -> bool:
        """True if the verdict contradicts the expected one."""
        return {self.verdict, self.expected} == set(SOLVED)

    @property
    def solved(self) -> bool:
        return self.verdict in SOLVED and not self.wrong


COLUMNS = tuple(field.name for field in fields(Record))


def _one_of_verdicts(text: str) -> str:
    if text not in VERDICTS:
        raise ValueError(f"'{text}' is no verdict")
    return text


def _number_or_none(text: str) -> float | None:
    return float(text) if text else None


READERS: dict[str, Callable[[str], Any]] = {
    "timeout": _number_or_none,
    "verdict": _one_of_verdicts,
    "seconds": float,
    "bound": _number_or_none,
    "peak_mib": float,
}


def line(record: Record) -> str:
    """Write the record as one line of CSV; line breaks in the reason become spaces."""
    cells = {**vars(record), "reason": " ".join(record.reason.split())}
    return csv_line("" if value is None else value for value in cells.values())


def csv_line(cells: Iterable[object]) -> str:
    """Write cells as a line of CSV, with quotes where needed."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


HEADER = csv_line(COLUMNS)


def read_records(path: Path) -> list[Record]:
    """Read the complete lines of a results file; a last line that is cut off is left out.

    Raises ReadError for a file that cannot be read or is no results file.
    """
    try:
        data = path.read_bytes()
        complete = data[: data.rfind(b"\n") + 1].decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"{path}: cannot be read as results: {reason_of(error)}") from None
    first, *lines = complete.removesuffix("\n").split("\n")
    if f"{first}\n" != HEADER and not (not first and HEADER.encode().startswith(data)):
        raise ReadError(
            f"{path}: is no results file of `boundmesh bench`; its first line must be "
            f"{HEADER.strip()}"
        )
    records = []
    for number, text in enumerate(lines, start=2):
        try:
            (cells,) = csv.reader([text])
            named = zip(COLUMNS, cells, strict=True)
            records.append(Record(**{name: READERS.get(name, str)(cell) for name, cell in named}))
        except (ValueError, csv.Error) as error:
            raise ReadError(f"{path}:{number}: is no result: {error}") from None
    return records


def resume(path: Path) -> list[Record]:
    """Read the records of a results file, and prepare it for more lines.

    A missing file is created, and an incomplete last line is removed. A file that is no results
    file is left as it is. Raises the errors of `read_records`, and BoundmeshError for a file that
    cannot be written.
    """
    records = read_records(path) if path.exists() else []
    try:
        data = path.read_bytes() if path.exists() else b""
        kept = data.rfind(b"\n") + 1
        if not kept:
            path.write_text(HEADER, encoding="utf-8")
        elif kept < len(data):
            with path.open("r+b") as file:
                file.truncate(kept)
    except OSError as error:
        raise BoundmeshError(f"cannot write {path}: {error.strerror or error}") from None
    return records


def append(path: Path, record: Record) -> None:
    """Append a record's line and close the file, so that a kill loses no finished instance."""
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(line(record))
    except OSError as error:
        raise BoundmeshError(f"cannot write {path}: {error.strerror or error}") from None
