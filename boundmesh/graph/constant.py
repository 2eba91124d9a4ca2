"""Arrays that do not depend on the network's input, and arithmetic with them.

Results are computed in float64 and carry a bound on their rounding (`Formed`). They are stored in
float32 if that is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from boundmesh.graph import formed as rules
from boundmesh.graph.formed import EXACT, Formed

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Constant:
    """An array that does not depend on the network's input.

    name    the name of the array; a constant with an empty name is later named after the node
            that reads it
    array   the numbers
    formed  the bound on the rounding of the numbers
    """

    name: str
    array: np.ndarray
    formed: Formed = EXACT

    @property
    def shape(self) -> Shape:
        return self.array.shape

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> Constant:
        """Return the same numbers in other places: `move` reshapes, transposes or selects."""
        return Constant(self.name, move(self.array), resized(self, move))


Given = Constant | np.ndarray | float


def known(value: Given) -> Constant:
    """Return numbers of the file, or of an operator's definition, as a constant."""
    return value if isinstance(value, Constant) else Constant("", np.asarray(value))


def resized(constant: Constant, move: Callable[[np.ndarray], np.ndarray]) -> Formed:
    """Return the rounding of moved numbers: their sizes are moved as the numbers are."""
    size = constant.formed.size
    if size is None:
        return constant.formed
    whole = np.broadcast_to(size, constant.shape)
    return Formed(np.ascontiguousarray(move(whole)), constant.formed.depth)


def sum_of(first: Given, second: Given) -> Constant:
    """Return `a + b`. The sum is exact if one number of each pair is zero."""
    a, b = known(first), known(second)
    left, right = wide(a), wide(b)
    exact = exactly(a, b) and bool(np.all((left == 0) | (right == 0)))
    formed = EXACT if exact else rules.of_sum(left, a.formed, right, b.formed)
    return made(left + right, formed)


def negated(constant: Given) -> Constant:
    """Return `−a`, which is exact."""
    value = known(constant)
    return Constant("", np.asarray(-floating(value.array)), value.formed)


def product(first: Given, second: Given) -> Constant:
    """Return `a·b`, element by element.

    It is exact if both constants stand in the file as they are, and one of every two factors is
    zero or ± a power of two.
    """
    a, b = known(first), known(second)
    left, right = wide(a), wide(b)
    exact = exactly(a, b) and (plain(right).all() or (small(left) and plain_pairs(left, right)))
    formed = EXACT if exact else rules.of_product(left, a.formed, right, b.formed)
    return made(left * right, formed)


def quotient(first: Given, second: Given) -> Constant:
    """Return `a/b` for b without zeros. It is exact if all of b are powers of two."""
    a, b = known(first), known(second)
    left, right = wide(a), wide(b)
    exact = exactly(a, b) and plain(right).all()
    formed = EXACT if exact else rules.of_quotient(left, a.formed, right, b.formed)
    return made(left / right, formed)


def root(value: Given) -> Constant:
    """Return `√a`. It is exact if all of a are powers of four."""
    a = known(value)
    array = wide(a)
    result = np.sqrt(array)
    # Powers of four have exact roots.
    exact = exactly(a) and bool(np.all(plain(array) & plain(result)))
    return made(result, EXACT if exact else rules.of_root(array, a.formed))


def matrix_product(first: Given, second: Given) -> Constant:
    """Return the matrix product `a @ b`."""
    a, b = known(first), known(second)
    left, right = wide(a), wide(b)
    return made(left @ right, rules.of_matrix_product(left, a.formed, right, b.formed))


def total(value: Given, axes: tuple[int, ...]) -> Constant:
    """Return the sum over `axes`, which are kept with length 1."""
    a = known(value)
    array = wide(a)
    return made(array.sum(axis=axes, keepdims=True), rules.of_total(array, a.formed, axes))


def rounded(value: float, operations: int = 1) -> Constant:
    """Return a number, computed by `operations` roundings from numbers that stand in no file."""
    return Constant("", np.asarray(value, np.float64), Formed(None, operations))


def made(array: np.ndarray, formed: Formed) -> Constant:
    """Return a computed constant, stored in float32 if that is exact."""
    return Constant("", np.asarray(narrow(np.asarray(array))), formed)


def wide(constant: Constant) -> np.ndarray:
    """Return the numbers as float64."""
    return np.asarray(constant.array, np.float64)


def exactly(*constants: Constant) -> bool:
    """Return True if none of the constants was computed: all stand in the file as they are."""
    return all(constant.formed.depth == 0 for constant in constants)


def plain(array: np.ndarray) -> np.ndarray:
    """Return a mask of numbers that are zero or ± a power of two, far from underflow.

    A product with such a number is exact.
    """
    share, exponent = np.frexp(array)
    result: np.ndarray = (np.abs(share) == 0.5) & (np.abs(exponent) < 100) | (share == 0)
    return result


def plain_pairs(left: np.ndarray, right: np.ndarray) -> bool:
    return bool(np.all(plain(left) | plain(right)))


def small(array: np.ndarray) -> bool:
    """Return True if the array is so small that reading it several times costs little."""
    return array.size <= 2**20


def narrow(array: np.ndarray) -> np.ndarray:
    """Return the array as float32 if that is exact, and as float64 otherwise."""
    with np.errstate(over="ignore"):
        short = array.astype(np.float32)
    return short if np.array_equal(short, array, equal_nan=True) else array


def floating(array: np.ndarray) -> np.ndarray:
    """Return the array as float32 or float64. Those two types stay as they are.

    The conversion of integers is exact up to 2⁵³.
    """
    if array.dtype in (np.float32, np.float64):
        return array
    return narrow(array.astype(np.float64))
