"""What floating-point arithmetic can change, as a bound and never as a guess.

A sum of k products, added in any order and with or without fused multiply-adds, differs from the
exact one by at most γ_k · Σ|aᵢ·bᵢ| with γ_k = k·u/(1 − k·u) and u the unit roundoff (Higham,
Accuracy and Stability of Numerical Algorithms, 2002, sections 3.1 and 4.2). So an operator states
for every output neuron a size, which is the sum of the absolute values that meet there, and how
many roundings each of them passes. `docs/soundness.md` has the whole argument.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

UNITS = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}
"""The unit roundoff of every arithmetic that a network may run in."""

SMALLEST: Mapping[str, float] = {
    "float64": 2.0**-1022,
    "float32": 2.0**-126,
    "tf32": 2.0**-126,
    "float16": 2.0**-14,
    "bfloat16": 2.0**-126,
}
"""What one operation can lose where its result is too small for the type."""

FUNCTION = 16
"""Roundings that stand for the error of a library function such as exp or tanh: 8 units in the last
place. PyTorch's and CUDA's documented errors are 1 to 4."""

INFLATION = 1.01
"""Sums of errors have no negative terms. They are computed in float32, too, and made larger by what
that can lose: at most one part in a hundred, as no such sum is longer than `chunked` allows."""

LARGEST: Mapping[str, float] = {
    "float64": 1.7976e308,
    "float32": 3.4028e38,
    "tf32": 3.4011e38,
    "float16": 65504.0,
    "bfloat16": 3.3895e38,
}
"""No larger than the largest number of the type."""

CHUNK = 512


@dataclass(frozen=True)
class Rounding:
    """Which roundings a bound must outweigh.

    own      unit roundoff of the arithmetic that bounds are computed in
    tiny     what an operation of that arithmetic can lose to underflow
    network  unit roundoff of the arithmetic that the network runs in; 0 for real numbers
    lost     what an operation of the network can lose to underflow
    largest  beyond this the network overflows
    blocks   rows are multiplied with weights by the kernel of `matmul.py`
    kernels  sums over neurons are made by a kernel
    """

    own: float
    tiny: float
    network: float = 0.0
    lost: float = 0.0
    blocks: bool = False
    kernels: bool = False
    largest: float = math.inf

    @staticmethod
    def of(
        dtype: torch.dtype, *networks: str, blocks: bool = False, kernels: bool = False
    ) -> Rounding:
        """Of bounds computed in `dtype` for a network that runs in any of `networks`; `real` is
        what every bound holds for."""
        name = str(dtype).removeprefix("torch.")
        types = [network for network in networks if network != "real"]
        return Rounding(
            UNITS[name],
            SMALLEST[name],
            max((UNITS[each] for each in types), default=0.0),
            max((SMALLEST[each] for each in types), default=0.0),
            blocks,
            kernels,
            min((LARGEST[each] for each in types), default=math.inf),
        )

    def in_float64(self) -> Rounding:
        """The same of bounds computed in float64."""
        own, tiny = UNITS["float64"], SMALLEST["float64"]
        return replace(self, own=own, tiny=tiny, blocks=False, kernels=False)

    @property
    def narrows(self) -> bool:
        """Tells whether the network rounds numbers that bounds are computed with exactly."""
        return self.network > self.own

    def sum(self, length: int) -> int:
        """The roundings of a sum of so many terms."""
        return by_kernel(length) if self.kernels else chunked(length)


def gamma(terms: float, unit: float) -> float:
    """γ_k = k·u/(1 − k·u); infinite where it says nothing, for k·u ≥ 1/2."""
    share = terms * unit
    return share / (1 - share) if share < 0.5 else math.inf


@dataclass(frozen=True)
class Rounded:
    """One source of rounding in an operator.

    size     `[D, *shape]`, ≥ 0: per output neuron, what the roundings are relative to
    forward  roundings of the operator's own value, as a network or an interval computes it
    pull     roundings of rows that are pulled back through it
    summed   how many terms `inner` then adds up, such as biases over all neurons
    """

    size: Tensor
    forward: int
    pull: int
    summed: int = 0


@dataclass(frozen=True)
class Lengths:
    """The roundings of an affine operator: as in `Rounded`."""

    forward: int = 0
    pull: int = 0
    summed: int = 0


def chunked(length: int) -> int:
    """The roundings of a sum of `length` terms as `inner` adds it: in chunks of `CHUNK`."""
    return length if length <= 2 * CHUNK else CHUNK + -(-length // CHUNK) + 1


def by_kernel(length: int) -> int:
    """The roundings of a sum of `length` terms as a kernel adds it: 1024 side by side, each in its
    turn, and these by halves."""
    return min(length, 12 + -(-length // 1024))
