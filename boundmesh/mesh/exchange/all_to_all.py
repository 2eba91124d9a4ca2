"""All-to-all: a tensor whose pieces lie on several ranks is cut along another dim.

Each rank sends every other rank the intersection of its old piece with the other's new piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from boundmesh.mesh.runtime.group import Group
from boundmesh.mesh.runtime.sharded_tensors import gather_pieces, tallest
from boundmesh.operators.partition import Partition

SLAB = 2**21
"""How many numbers a rank receives at a time; a receive buffer of this size is needed."""


def all_to_all(group: Group, piece: Tensor, now: Partition, then: Partition) -> Tensor:
    """Return this rank's piece of a tensor along `then.axis`, from pieces along `now.axis`.

    One all-to-all is run for every `SLAB` numbers. If `then.axis` has length 1, it is broadcast and
    cannot be cut: one all-gather then returns the whole tensor.
    """
    if piece.shape[then.axis] == 1:
        return gather_pieces(group, piece, now.axis, now.ends).contiguous()
    shape = list(then.shape(tuple(piece.shape), group.rank))
    shape[now.axis] = now.ends[-1]
    turned, first = piece.new_empty(shape), then.ends[group.rank]
    for spans in _slabs(then, prod(shape[: then.axis]) * prod(shape[then.axis + 1 :])):
        low, high = spans[group.rank]
        _turn_slab(
            group, piece, now, then.axis, spans, turned.narrow(then.axis, low - first, high - low)
        )
    return turned


def _slabs(then: Partition, wide: int) -> Iterator[list[tuple[int, int]]]:
    """Yield slabs: for each rank, the next run `[low, high)` of its piece along the new cut.

    A run has at most `SLAB` numbers; an index along the cut has `wide` of them.
    """
    height = max(1, SLAB // max(1, wide))
    for start in range(0, tallest(then.ends), height):
        yield [
            (min(low + start, high), min(low + start + height, high))
            for low, high in pairwise(then.ends)
        ]


def _turn_slab(
    group: Group,
    piece: Tensor,
    now: Partition,
    axis: int,
    spans: Sequence[tuple[int, int]],
    out: Tensor,
) -> None:
    """Send each rank its span of `piece` along `axis`; write this rank's span of all to `out`."""
    given = [piece.narrow(axis, low, high - low) for low, high in spans]
    pieces = out.split([high - low for low, high in pairwise(now.ends)], now.axis)
    takes = [target.numel() for target in pieces]
    sent, gives = torch.cat([part.flatten() for part in given]), [part.numel() for part in given]
    received = piece.new_empty(sum(takes))
    group.all_to_all(received, sent, takes, gives).wait()
    for target, values in zip(pieces, received.split(takes), strict=True):
        target.copy_(values.view(target.shape))
