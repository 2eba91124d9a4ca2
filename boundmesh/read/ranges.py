"""Reads the many simple bounds of a large file at once: `(assert (<= X[0,7] 0.25))`, a line each.

A property of an image has two such lines for each input. They are taken out of the text, and their
numbers are converted by array arithmetic, exactly. Whatever has another form is left in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from boundmesh.property import Variable
from boundmesh.rational import Exact, quotients
from boundmesh.read.formula import Comparison

# A mantissa below 10¹⁸ fits into int64, and 10²² is the largest power of ten that is a float64.
NUMBER = (
    r"-?(?:0\.0{0,4}[0-9]{1,18}|[0-9]\.[0-9]{1,17}|[0-9]{1,3}\.[0-9]{1,15}"
    r"|[0-9]{1,8}\.[0-9]{1,10}|[0-9]{1,18})"
)
LINE = re.compile(
    r"^\(assert \(([<>])= ([A-Za-z]\w*?)(?:_([0-9]+)|\[([0-9, ]+)\]) "
    rf"({NUMBER})\)\)[ \t]*$",
    re.ASCII | re.MULTILINE,
)
# The names of tensors whose bounds are no ranges of inputs.
OUTPUT = re.compile(r"\(declare-(?:output|hidden)\s+([A-Za-z]\w*)", re.ASCII)
# Shorter texts are read form by form.
LARGE = 2**22
# Characters that are converted at one time.
CHUNK = 2**22
PLACES = 22
POWERS = np.array([float(10**k) for k in range(PLACES + 1)])


@dataclass(frozen=True, eq=False)
class Decimals(Mapping[int, Exact]):
    """The exact ends of ranges, `mantissa / 10^places`, by variable; ends that are there only once.

    present   a mask of the variables that have an end
    mantissa  the digits of each end as an integer, `[inputs]`
    places    the number of digits after the point
    value     the float64 that is nearest to the end on its outer side
    rounded   a mask of the ends that no float64 holds
    """

    present: np.ndarray
    mantissa: np.ndarray
    places: np.ndarray
    value: np.ndarray
    rounded: np.ndarray

    def __getitem__(self, variable: int) -> Exact:
        if not 0 <= variable < len(self.present) or not self.present[variable]:
            raise KeyError(variable)
        exact = Fraction(int(self.mantissa[variable]), 10 ** int(self.places[variable]))
        return exact.numerator if exact.denominator == 1 else exact

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self.present).tolist())

    def __len__(self) -> int:
        return int(self.present.sum())


@dataclass(frozen=True, eq=False)
class Missed(Mapping[int, Fraction]):
    """The ends of `Decimals` that no float64 holds.

    `mask` tells which they are: `ends.rounded`, less those that something else replaced.
    """

    ends: Decimals
    mask: np.ndarray

    def __getitem__(self, variable: int) -> Fraction:
        if not 0 <= variable < len(self.mask) or not self.mask[variable]:
            raise KeyError(variable)
        return Fraction(self.ends[variable])

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self.mask).tolist())

    def __len__(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True, eq=False)
class BoundArrays:
    """Simple bounds as arrays, one element for each line, of one tensor.

    name      the tensor's name
    flat      True for `X_7`, the form of version 1.0, and False for `X[7]`
    index     `[N, dims]`: the indices of the element
    upper     True for `<=`
    mantissa  the digits as an integer
    places    the number of digits after the point
    """

    name: str
    flat: bool
    index: np.ndarray
    upper: np.ndarray
    mantissa: np.ndarray
    places: np.ndarray


def taken_out(text: str) -> tuple[str, list[BoundArrays]]:
    """Return the text without its simple bounds of inputs, and these."""
    if len(text) < LARGE:
        return text, []
    pattern = _line_of_inputs(set(OUTPUT.findall(text)) or {"Y"})
    rest: list[str] = []
    bounds: list[BoundArrays] = []
    start = 0
    while start < len(text):
        end = text.rfind("\n", start, start + CHUNK) + 1 or len(text)
        if end <= start:
            end = len(text)
        chunk = text[start:end]
        lines = _lines(pattern.findall(chunk))
        if lines is not None:
            bounds.append(lines)
            chunk = pattern.sub("", chunk)
        rest.append(chunk)
        start = end
    return "".join(rest), bounds


def _line_of_inputs(outputs: Iterable[str]) -> re.Pattern[str]:
    """Return the pattern of a simple bound on a tensor that is none of these outputs."""
    names = "|".join(sorted(outputs))
    return re.compile(
        LINE.pattern.replace("([A-Za-z]", rf"(?!(?:{names})[_\[])([A-Za-z]"), LINE.flags
    )


def _lines(matches: Sequence[tuple[str, str, str, str, str]]) -> BoundArrays | None:
    """Return the matched lines as arrays; None where they are not all of one kind."""
    if not matches:
        return None
    signs, names, flats, indices, numbers = zip(*matches, strict=True)
    if len(set(names)) > 1 or (any(flats) and not all(flats)):
        return None
    cells = flats if flats[0] else indices
    depth = cells[0].count(",") + 1
    if any(cell.count(",") + 1 != depth for cell in cells):
        return None
    try:
        index = np.array(" ".join(cells).replace(",", " ").split(), dtype=np.int64)
    except (OverflowError, ValueError):
        return None
    points = [number.find(".") for number in numbers]
    places = [len(n) - p - 1 if p >= 0 else 0 for n, p in zip(numbers, points, strict=True)]
    mantissa = np.array(" ".join(numbers).replace(".", "").split(), dtype=np.int64)
    upper = np.array(signs) == "<"
    if len(index) != depth * len(numbers):
        return None
    return BoundArrays(
        names[0], bool(flats[0]), index.reshape(-1, depth), upper, mantissa, np.array(places)
    )


@dataclass(frozen=True)
class SimpleRanges:
    """The lower and upper ends that simple bounds give to inputs, by the input's number."""

    lower: Decimals
    upper: Decimals

    def comparisons(self) -> Iterator[Comparison]:
        """Return the same bounds, one by one."""
        for variable, end in self.lower.items():
            yield Comparison(((variable, -1),), -end)
        for variable, end in self.upper.items():
            yield Comparison(((variable, 1),), end)


def ranges_of(
    lines: Sequence[BoundArrays], variables: Sequence[Variable], version: str
) -> SimpleRanges | None:
    """Return the ranges that lines give to inputs.

    The result is None where a line is not about an element of an input, an input has two lower or
    two upper ends, or the ends of an input may cross: then the text is to be read form by form.
    """
    inputs = {variable.name: variable for variable in variables if variable.role == "input"}
    total = sum(variable.size for variable in inputs.values())
    sides = [_Side(total), _Side(total)]
    for part in lines:
        tensor = inputs.get(part.name)
        if tensor is None or part.flat != (version == "1"):
            return None
        if len(tensor.shape) != part.index.shape[1]:
            return None
        if (part.index >= np.array(tensor.shape)).any():
            return None
        flat = np.ravel_multi_index(tuple(part.index.T), tensor.shape) + tensor.offset
        for side, chosen in zip(sides, (~part.upper, part.upper), strict=True):
            if not side.enter(flat[chosen], part.mantissa[chosen], part.places[chosen]):
                return None
    lower, upper = sides[0].ends(up=False), sides[1].ends(up=True)
    near = lower.present & upper.present & (np.nextafter(lower.value, np.inf) >= upper.value)
    if any(lower[i] > upper[i] for i in np.flatnonzero(near).tolist()):
        return None
    return SimpleRanges(lower, upper)


class _Side:
    """Collects the ends of one side."""

    def __init__(self, total: int) -> None:
        self.present = np.zeros(total, dtype=bool)
        self.mantissa = np.zeros(total, dtype=np.int64)
        self.places = np.zeros(total, dtype=np.int8)

    def enter(self, flat: np.ndarray, mantissa: np.ndarray, places: np.ndarray) -> bool:
        """Add ends; return False where an input would have two."""
        before = int(self.present.sum())
        self.present[flat] = True
        self.mantissa[flat], self.places[flat] = mantissa, places
        return int(self.present.sum()) == before + len(flat)

    def ends(self, up: bool) -> Decimals:
        """Round the ends outward."""
        value, missed = quotients(self.mantissa, POWERS[self.places], up)
        missing = np.inf if up else -np.inf
        value = np.where(self.present, value, missing)
        return Decimals(self.present, self.mantissa, self.places, value, missed)
