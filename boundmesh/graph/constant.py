"""Arrays that do not depend on the network's input, and exact-or-accounted arithmetic with them.

What is computed is float64, with how it was formed; it stays float32 where that loses nothing.
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
    """A named array that does not depend on the network's input, and how it was formed.

    A computed one that has no name of its own is named after the node that reads it.
    """

    name: str
    array: np.ndarray
    formed: Formed = EXACT

    @property
    def shape(self) -> Shape:
        return self.array.shape

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> Constant:
        """The same numbers in other places: `move` reshapes, transposes or picks."""
        return Constant(self.name, move(self.array), resized(self, move))


Given = Constant | np.ndarray | float


def known(value: Given) -> Constant:
    """Numbers of the file, or of an operator's definition, as a constant without a name."""
    return value if isinstance(value, Constant) else Constant("", np.asarray(value))


def resized(constant: Constant, move: Callable[[np.ndarray], np.ndarray]) -> Formed:
    """How moved numbers are formed: their sizes move with them."""
    size = constant.formed.size
    if size is None:
        return constant.formed
    whole = np.broadcast_to(size, constant.shape)
    return Formed(np.ascontiguousarray(move(whole)), constant.formed.depth)


def sum_of(one: Given, other: Given) -> Constant:
    """`a + b`; exact where one of each pair is zero."""
    a, b = known(one), known(other)
    left, right = wide(a), wide(b)
    exact = exactly(a, b) and bool(np.all((left == 0) | (right == 0)))
    formed = EXACT if exact else rules.of_sum(left, a.formed, right, b.formed)
    return made(left + right, formed)


def negated(constant: Given) -> Constant:
    """`−a`, exactly."""
    value = known(constant)
    return Constant("", np.asarray(-floating(value.array)), value.formed)


def product(one: Given, other: Given) -> Constant:
    """`a·b`; exact where one of each pair is zero or a power of two."""
    a, b = known(one), known(other)
    left, right = wide(a), wide(b)
    exact = exactly(a, b) and (plain(right).all() or (small(left) and plain_pairs(left, right)))
    formed = EXACT if exact else rules.of_product(left, a.formed, right, b.formed)
    return made(left * right, formed)


def quotient(one: Given, other: Given) -> Constant:
    """`a/b` for b without zeros; exact where b is all powers of two."""
    a, b = known(one), known(other)
    left, right = wide(a), wide(b)
    exact = exactly(a, b) and plain(right).all()
    formed = EXACT if exact else rules.of_quotient(left, a.formed, right, b.formed)
    return made(left / right, formed)


def root(value: Given) -> Constant:
    """`√a`."""
    a = known(value)
    array = wide(a)
    result = np.sqrt(array)
    # Powers of four have exact roots.
    exact = exactly(a) and bool(np.all(plain(array) & plain(result)))
    return made(result, EXACT if exact else rules.of_root(array, a.formed))


def matrix_product(one: Given, other: Given) -> Constant:
    """`a @ b`."""
    a, b = known(one), known(other)
    left, right = wide(a), wide(b)
    return made(left @ right, rules.of_matrix_product(left, a.formed, right, b.formed))


def rounded(value: float, operations: int = 1) -> Constant:
    """A number that so many operations or roundings give, from others that stand in no file."""
    return Constant("", np.asarray(value, np.float64), Formed(None, operations))


def made(array: np.ndarray, formed: Formed) -> Constant:
    """A computed constant, as float32 where that loses nothing."""
    return Constant("", np.asarray(narrow(np.asarray(array))), formed)


def wide(constant: Constant) -> np.ndarray:
    """The numbers as float64."""
    return np.asarray(constant.array, np.float64)


def exactly(*constants: Constant) -> bool:
    """Whether all are numbers as they stand in the file."""
    return all(each.formed.depth == 0 for each in constants)


def plain(array: np.ndarray) -> np.ndarray:
    """Where a number is zero or ± a power of two, far from underflow: products are exact."""
    share, exponent = np.frexp(array)
    return (np.abs(share) == 0.5) & (np.abs(exponent) < 100) | (share == 0)


def plain_pairs(left: np.ndarray, right: np.ndarray) -> bool:
    return bool(np.all(plain(left) | plain(right)))


def small(array: np.ndarray) -> bool:
    """Whether it costs little to look at every number more than once."""
    return array.size <= 2**20


def narrow(array: np.ndarray) -> np.ndarray:
    """The array as float32 where that loses nothing, else as float64."""
    with np.errstate(over="ignore"):
        short = array.astype(np.float32)
    return short if np.array_equal(short, array, equal_nan=True) else array


def floating(array: np.ndarray) -> np.ndarray:
    """The array as float32 or float64, without loss up to 2⁵³; those two stay as they are."""
    if array.dtype in (np.float32, np.float64):
        return array
    return narrow(array.astype(np.float64))
