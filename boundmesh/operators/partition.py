"""`Partition`, which assigns each rank a contiguous range of neurons."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from boundmesh.operators.node import Shape


@dataclass(frozen=True)
class Partition:
    """A division of neurons among ranks: rank r has `ends[r] ≤ i < ends[r + 1]` along `axis`.

    axis  the axis of the value's shape that is cut
    ends  the ends of the ranges, one more than there are ranks
    """

    axis: int
    ends: tuple[int, ...]

    def span(self, rank: int) -> tuple[int, int]:
        return self.ends[rank], self.ends[rank + 1]

    def shape(self, shape: Shape, rank: int) -> Shape:
        """Return the shape of a rank's piece of a value of `shape`."""
        low, high = self.span(rank)
        return (*shape[: self.axis], high - low, *shape[self.axis + 1 :])

    def piece(self, values: Tensor, rank: int, leading: int) -> Tensor:
        """Return a rank's piece of a tensor with `leading` dims before the axes of the value."""
        low, high = self.span(rank)
        return values.narrow(self.axis + leading, low, high - low)


def even_partition(axis: int, length: int, ranks: int) -> Partition:
    """Return pieces of ⌈length / ranks⌉ neurons each. The last ones may be shorter, or empty."""
    height = -(-length // ranks)
    return Partition(axis, tuple(min(rank * height, length) for rank in range(ranks + 1)))
