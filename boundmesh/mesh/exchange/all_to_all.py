"""Tensors that are cut along one dim, cut along another: what every rank has for every other."""

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
"""Numbers that a rank receives of a turned tensor at a time: so many lie there twice."""


def all_to_all(group: Group, mine: Tensor, now: Partition, then: Partition) -> Tensor:
    """A tensor whose dim `now.axis` is cut, cut along `then.axis` instead, by an all-to-all for
    every `SLAB`; all of it, by one all-gather, where `then.axis` has length 1 and stands for every
    place."""
    if mine.shape[then.axis] == 1:
        return gather_pieces(group, mine, now.axis, now.ends).contiguous()
    shape = list(then.shape(tuple(mine.shape), group.rank))
    shape[now.axis] = now.ends[-1]
    turned, first = mine.new_empty(shape), then.ends[group.rank]
    for spans in _slabs(then, prod(shape[: then.axis]) * prod(shape[then.axis + 1 :])):
        low, high = spans[group.rank]
        _turn_slab(
            group, mine, now, then.axis, spans, turned.narrow(then.axis, low - first, high - low)
        )
    return turned


def _slabs(then: Partition, wide: int) -> Iterator[list[tuple[int, int]]]:
    """A run of each rank's places along a cut after the other, of at most `SLAB` numbers where each
    place has `wide` of them."""
    height = max(1, SLAB // max(1, wide))
    for start in range(0, tallest(then.ends), height):
        yield [
            (min(low + start, high), min(low + start + height, high))
            for low, high in pairwise(then.ends)
        ]


def _turn_slab(
    group: Group,
    mine: Tensor,
    now: Partition,
    axis: int,
    spans: Sequence[tuple[int, int]],
    out: Tensor,
) -> None:
    """Send each rank its span of `mine` along `axis`; `out` is this rank's span of all pieces."""
    given = [mine.narrow(axis, low, high - low) for low, high in spans]
    pieces = out.split([high - low for low, high in pairwise(now.ends)], now.axis)
    takes = [piece.numel() for piece in pieces]
    sent, gives = torch.cat([each.flatten() for each in given]), [each.numel() for each in given]
    received = mine.new_empty(sum(takes))
    group.all_to_all(received, sent, takes, gives).wait()
    for piece, values in zip(pieces, received.split(takes), strict=True):
        piece.copy_(values.view(piece.shape))
