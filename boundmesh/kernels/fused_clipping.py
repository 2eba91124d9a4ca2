"""What clipping does for every neuron of every domain and every input, on GPUs that have Triton.

`constraints.py` says what is computed; here nothing of shape `[D, U, n]` is ever written to memory.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from boundmesh.kernels import launcher

# A program holds all inputs of a domain.
MOST_INPUTS = 4096
BLOCK = 256
KERNELS = "kernels.clipping_triton"


class AffineFunctions(Protocol):
    """Functions `T·x + t` of inputs x: T is `rows` `[U, n]`, t is `constants` `[U]`; `sizes` `[U]`
    is |t| and what else their rounding is relative to."""

    @property
    def rows(self) -> Tensor: ...
    @property
    def constants(self) -> Tensor: ...
    @property
    def sizes(self) -> Tensor: ...
    @property
    def inputs(self) -> int: ...


def applies(values: AffineFunctions) -> bool:
    """float32 on a GPU with Triton, and not too many inputs."""
    rows = values.rows
    if not rows.is_cuda or rows.dtype != torch.float32 or values.inputs > MOST_INPUTS:
        return False
    return launcher.usable(rows.device, "clipping")


def cut_neurons(
    values: AffineFunctions,
    lower: Tensor,
    upper: Tensor,
    row: Tensor,
    constant: Tensor,
    less: Tensor,
    more: Tensor,
    multipliers: int,
    share: float,
) -> tuple[Tensor, Tensor]:
    """`Cutting.least` and `most` `[D, U]` on boxes `[D, n]`: row `[D, n]`, constant `[D]`, less and
    more `[D, U]`, alike in memory. A sum is rounded by up to `share` of the size of its terms."""
    weight = values.rows.contiguous()
    domains, neurons = len(row), len(weight)
    given = [each.contiguous() for each in (lower, upper, row, constant)]
    less, more = less.contiguous(), more.contiguous()
    least, most = row.new_empty(domains, neurons), row.new_empty(domains, neurons)
    block = 1 << max(5, (values.inputs - 1).bit_length())
    if domains:
        with launcher.on(row.device):
            launcher.module(KERNELS).cut_neurons[(neurons, domains)](
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
        with launcher.on(above.device):
            launcher.module(KERNELS).largest_shares[(domains, -(-inputs // BLOCK))](
                weight, above, below, low, high, neurons, inputs, BLOCK=BLOCK
            )
    return low, high
