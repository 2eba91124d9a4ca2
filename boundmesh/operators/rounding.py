"""Bounds, never estimates, on the error that floating-point arithmetic can cause.

A sum of k products, added in any order and with or without fused multiply-adds, differs from the
exact one by at most γ_k · Σ|aᵢ·bᵢ| with γ_k = k·u/(1 − k·u) and u the unit roundoff (Higham,
Accuracy and Stability of Numerical Algorithms, 2002, sections 3.1 and 4.2). So an operator gives
two things for every output neuron. The first is a size, which is the sum of the absolute values
that are added up there. The second is the number of roundings that each of these values goes
through. `docs/soundness.md` gives the whole argument.
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
"""The unit roundoff u of every arithmetic that a network may run in."""

SMALLEST: Mapping[str, float] = {
    "float64": 2.0**-1022,
    "float32": 2.0**-126,
    "tf32": 2.0**-126,
    "float16": 2.0**-14,
    "bfloat16": 2.0**-126,
}
"""The most that one operation can lose to underflow: the smallest normal number of the type."""

FUNCTION = 16
"""The number of roundings that covers the error of a library function such as exp or tanh.

It amounts to 8 units in the last place. PyTorch and CUDA document errors of 1 to 4 units.
"""

INFLATION = 1.01
"""The factor by which a computed sum of errors is enlarged.

Sums of errors have no negative terms. They may be computed in float32, which loses at most one part
in a hundred, because no such sum is longer than `chunked` allows.
"""

LARGEST: Mapping[str, float] = {
    "float64": 1.7976e308,
    "float32": 3.4028e38,
    "tf32": 3.4011e38,
    "float16": 65504.0,
    "bfloat16": 3.3895e38,
}
"""A number that is no larger than the largest finite number of the type."""

CHUNK = 512
"""The number of terms that `inner` adds up before it adds the partial sums."""


@dataclass(frozen=True)
class Rounding:
    """The rounding errors that a bound must cover.

    own      the unit roundoff of the arithmetic that bounds are computed in
    tiny     the most that one operation of that arithmetic can lose to underflow
    network  the unit roundoff of the arithmetic that the network runs in; 0 for real numbers
    lost     the most that one operation of the network can lose to underflow
    blocks   True if the kernel of `matmul.py` multiplies rows with weights
    kernels  True if a kernel computes the sums over neurons
    largest  the network overflows beyond this number
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
        """Return the errors of bounds computed in `dtype` that hold for all of `networks`.

        Each of `networks` names an arithmetic that the network may run in. The name `real` adds
        nothing, because every bound holds for real numbers.
        """
        name = str(dtype).removeprefix("torch.")
        types = [network for network in networks if network != "real"]
        return Rounding(
            UNITS[name],
            SMALLEST[name],
            max((UNITS[kind] for kind in types), default=0.0),
            max((SMALLEST[kind] for kind in types), default=0.0),
            blocks,
            kernels,
            min((LARGEST[kind] for kind in types), default=math.inf),
        )

    def in_float64(self) -> Rounding:
        """Return a copy for bounds that are computed in float64 and without kernels."""
        own, tiny = UNITS["float64"], SMALLEST["float64"]
        return replace(self, own=own, tiny=tiny, blocks=False, kernels=False)

    @property
    def narrows(self) -> bool:
        """True if the network's arithmetic is coarser than the arithmetic of the bounds."""
        return self.network > self.own

    def sum(self, length: int) -> int:
        """Return the number of roundings in a sum of `length` terms."""
        return by_kernel(length) if self.kernels else chunked(length)


def gamma(terms: float, unit: float) -> float:
    """Return γ_k = k·u/(1 − k·u) for k = `terms` and u = `unit`.

    The result is infinite for k·u ≥ 1/2, so that no bound is claimed there.
    """
    share = terms * unit
    return share / (1 - share) if share < 0.5 else math.inf


@dataclass(frozen=True)
class Rounded:
    """One source of rounding in an operator.

    size     `[D, *shape]`, ≥ 0: for each output neuron, the magnitude that the roundings are
             relative to
    forward  the number of roundings of the operator's value, in the network or in an interval
    pull     the number of roundings of rows that are pulled back through the operator
    summed   the number of terms that `inner` adds up afterwards, such as biases over all neurons
    """

    size: Tensor
    forward: int
    pull: int
    summed: int = 0


@dataclass(frozen=True)
class Lengths:
    """The numbers of roundings of an affine operator.

    forward  the number of roundings of the operator's value, in the network or in an interval
    pull     the number of roundings of rows that are pulled back through the operator
    summed   the number of terms that `inner` adds up afterwards, such as biases over all neurons
    """

    forward: int = 0
    pull: int = 0
    summed: int = 0


def chunked(length: int) -> int:
    """Return the number of roundings in a sum of `length` terms that `inner` adds in chunks."""
    return length if length <= 2 * CHUNK else CHUNK + -(-length // CHUNK) + 1


def by_kernel(length: int) -> int:
    """Return the number of roundings in a sum of `length` terms that a kernel adds.

    The kernel adds up 1024 partial sums side by side, and then adds these in pairs.
    """
    return min(length, 12 + -(-length // 1024))
