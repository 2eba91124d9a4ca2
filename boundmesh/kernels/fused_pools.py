"""Pulls rows in windows back through a pool, in one pass over memory, on GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor

from boundmesh.kernels import launcher
from boundmesh.kernels.fused_windows import BLOCK, Reach, chunk, in_three

KERNELS = "kernels.pools_triton"


def pooled(
    rows: Tensor,
    table: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    front: Sequence[int],
    reach: Reach,
    into: Reach,
) -> Tensor:
    """Return rows `[D or 1, S, *window, C]` of a pool's output as rows `[D, S, *window, C]` of its
    input, without the first `front` places of every axis.

        y[i·stride + k·dilation] += x[i]·table[k, i]

    The table has the slopes `[D or 1, K, places, C]` of the input that is element k of each window
    of the pool. `reach` holds where the windows of the rows lie, and `into` where the result's do.
    """
    rows, table = rows.contiguous(), table.contiguous()
    domains, count, features = max(len(rows), len(table)), rows.shape[1], rows.shape[-1]
    out = rows.new_empty(domains, count, *into.lengths[-(rows.dim() - 3) :], features)
    if not out.numel():
        return out
    wide, size = chunk(features), prod(out.shape[2:])
    constants = (*in_three(kernel), *in_three(stride), *in_three(dilation), wide, BLOCK)
    launcher.start(
        launcher.module(KERNELS).pooled, (launcher.aligned(rows, table, out), *constants),
        (domains * count, -(-size // BLOCK), 1), out, rows, table, reach.places, out, count,
        size // wide, features // wide, 0 if len(rows) == 1 else rows.stride(0),
        0 if len(table) == 1 else table.stride(0), *reach.lengths, *in_three(front, 0),
        *into.spans, *reach.spans[2:], *constants,
    )  # fmt: skip
    return out
