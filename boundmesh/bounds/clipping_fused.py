"""What clipping does for every neuron of every domain and every input, on GPUs that have Triton.

`clipping.py` says what is computed; here nothing of shape `[D, U, n]` is ever written to memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.bounds.affine_values import AffineValues, rounding
from boundmesh.rules import kernels

# A program holds all inputs of a domain.
MOST_INPUTS = 4096
BLOCK = 256
KERNELS = "bounds.clipping_kernel"


def applies(values: AffineValues) -> bool:
    """float32 on a GPU with Triton, and not too many inputs."""
    rows = values.rows
    if not rows.is_cuda or rows.dtype != torch.float32 or values.inputs > MOST_INPUTS:
        return False
    # It looks at clipping step by step, which looks here.
    from boundmesh.bounds.clipping_trust import usable

    return usable(rows.device)


def cut_neurons(
    values: AffineValues,
    lower: Tensor,
    upper: Tensor,
    row: Tensor,
    constant: Tensor,
    less: Tensor,
    more: Tensor,
    multipliers: int,
) -> tuple[Tensor, Tensor]:
    """`Cutting.least` and `most` `[D, U]` on boxes `[D, n]`: row `[D, n]`, constant `[D]`, less and
    more `[D, U]`, alike in memory."""
    weight = values.rows.contiguous()
    domains, neurons = len(row), len(weight)
    given = [each.contiguous() for each in (lower, upper, row, constant)]
    less, more = less.contiguous(), more.contiguous()
    least, most = row.new_empty(domains, neurons), row.new_empty(domains, neurons)
    share = float(rounding(weight.new_ones((), device="cpu"), terms=values.inputs))
    block = 1 << max(5, (values.inputs - 1).bit_length())
    if domains:
        with kernels.on(row.device):
            kernels.module(KERNELS).cut_neurons[(neurons, domains)](
                weight, values.constants, values.sizes, *given, less, more, least, most,
                neurons, values.inputs, neurons, share,
                MULTIPLIERS=multipliers, BLOCK=block, num_warps=4 if block > 512 else 1,
            )  # fmt: skip
    return least, most


def largest_shares(weight: Tensor, above: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
    """`max over z` of `above[d, z]·T⁺[z, i]` and `below[d, z]·|T⁻[z, i]|`, and the same with above
    and below exchanged, `[D, n]` each."""
    weight, above, below = (each.contiguous() for each in (weight, above, below))
    domains, (neurons, inputs) = len(above), weight.shape
    low, high = above.new_empty(domains, inputs), above.new_empty(domains, inputs)
    if domains:
        with kernels.on(above.device):
            kernels.module(KERNELS).largest_shares[(domains, -(-inputs // BLOCK))](
                weight, above, below, low, high, neurons, inputs, BLOCK=BLOCK
            )
    return low, high
