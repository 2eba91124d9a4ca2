"""An ONNX network in float32, its sums in a random order: what hardware may make of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.adversary import network

FUNCTIONS = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "reciprocal": lambda x: 1 / x,
}
STEPS = {"floor": np.floor, "ceil": np.ceil, "round": np.round, "sign": np.sign}


class Floating:
    """NumPy's arithmetic in one floating-point type on arrays `[K, *shape]`.

    Functions such as `exp` are computed in float64 and rounded once.
    """

    dtype: type = np.float64

    def constant(self, array: np.ndarray) -> np.ndarray:
        return np.asarray(array).astype(self.dtype)[None]

    def take(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """`x` at flat places, in the shape of `index`; zero where the place is −1."""
        flat = x.reshape(len(x), -1)[:, np.maximum(index, 0).reshape(-1)]
        return np.where(index < 0, self.dtype(0), flat.reshape(len(x), *index.shape))

    def join(self, parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
        return np.concatenate(list(parts), axis=axis)

    def add(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a + b

    def subtract(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a - b

    def multiply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a * b

    def divide(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a / b

    def negate(self, x: np.ndarray) -> np.ndarray:
        return -x

    def maximum(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.maximum(a, b)

    def minimum(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.minimum(a, b)

    def where_negative(self, x: np.ndarray, slope: np.ndarray) -> np.ndarray:
        return np.where(x < 0, x * slope, x)

    def dot(self, a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        found = (a * b).sum(axis=-1)
        return found if bias is None else found + bias

    def total(self, x: np.ndarray) -> np.ndarray:
        return x.sum(axis=-1)

    def largest(self, x: np.ndarray) -> np.ndarray:
        return x.max(axis=-1)

    def power(self, x: np.ndarray, exponent: float) -> np.ndarray:
        return (x.astype(np.float64) ** exponent).astype(self.dtype)

    def function(self, name: str, x: np.ndarray) -> np.ndarray:
        return FUNCTIONS[name](x.astype(np.float64)).astype(self.dtype)

    def steps(self, name: str, x: np.ndarray) -> np.ndarray:
        return STEPS[name](x)


class Reordered(Floating):
    """float32; every sum is permuted at random, split into blocks at random, begun with the bias or
    ended with it, with fused multiply-adds or without.

    A fused multiply-add is computed in float64 and rounded to float32: once more than hardware
    rounds, which differs from it in rare cases and by less than a unit in the last place.
    """

    dtype = np.float32

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def dot(self, a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        order = self.rng.permutation(a.shape[-1])
        fused, first = self.rng.random() < 0.5, self.rng.random() < 0.5
        parts = []
        for place, block in enumerate(self._blocks(order)):
            begins = bias is not None and first and place == 0
            total = bias if begins else None
            for term in block:
                total = self._grown(total, a[..., term], b[..., term], fused)
            parts.append(total)
        found = self._summed(parts)
        return found if bias is None or first else found + bias

    def total(self, x: np.ndarray) -> np.ndarray:
        order = self.rng.permutation(x.shape[-1])
        blocks = [[x[..., term] for term in block] for block in self._blocks(order)]
        return self._summed([self._summed(block) for block in blocks])

    def _blocks(self, order: np.ndarray) -> list[np.ndarray]:
        """The terms of a sum, those of each block adjacent or (as in vector registers) apart."""
        count = min(len(order), int(self.rng.choice([1, 1, 2, 3, 4, 8, 16])))
        if self.rng.random() < 0.5:
            return [order[start::count] for start in range(count)]
        return [block for block in np.array_split(order, count) if len(block)]

    def _grown(
        self, total: np.ndarray | None, a: np.ndarray, b: np.ndarray, fused: bool
    ) -> np.ndarray:
        if total is None:
            return a * b
        if fused:
            exact = a.astype(np.float64) * b.astype(np.float64)
            return (exact + total.astype(np.float64)).astype(np.float32)
        return total + a * b

    def _summed(self, parts: list[np.ndarray]) -> np.ndarray:
        """One after the other, or in pairs."""
        if self.rng.random() < 0.5:
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            return total
        while len(parts) > 1:
            odd = parts[-1:] if len(parts) % 2 else []
            parts = [a + b for a, b in zip(parts[::2], parts[1::2], strict=False)] + odd
        return parts[0]


def outputs(net: network.Network, points: np.ndarray, seed: int) -> np.ndarray:
    """The flat float32 outputs `[K, outputs]` at float32 points `[K, inputs]`, in a random order
    that `seed` fixes."""
    with np.errstate(all="ignore"):
        found = net.run(Reordered(np.random.default_rng(seed)), points.astype(np.float32))
    return found.reshape(len(found), -1)


def approximate(net: network.Network, points: np.ndarray) -> np.ndarray:
    """The flat float64 outputs `[K, outputs]` at float64 points `[K, inputs]`."""
    with np.errstate(all="ignore"):
        found = net.run(Floating(), points.astype(np.float64))
    return found.reshape(len(found), -1)
