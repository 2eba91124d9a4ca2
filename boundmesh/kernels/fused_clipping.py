"""Starts kernels for the parts of clipping that visit every input of every neuron and domain.

`boundmesh/bounds/clipping` defines what is computed. The kernels never write a tensor of shape
`[D, U, n]` to memory.
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
    """Functions `T·x + t` of inputs x.

    rows       `[U, n]`, the matrix T
    constants  `[U]`, the vector t
    sizes      `[U]`, |t| plus everything else that the rounding of t is relative to
    inputs     the number n of inputs
    """

    @property
    def rows(self) -> Tensor: ...
    @property
    def constants(self) -> Tensor: ...
    @property
    def sizes(self) -> Tensor: ...
    @property
    def inputs(self) -> int: ...


def applies(values: AffineFunctions) -> bool:
    """Return True if the kernels can be used: float32 on a GPU, and at most MOST_INPUTS inputs."""
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
    """Return `Cutting.least` and `Cutting.most`, each `[D, U]`.

    lower, upper `[D, n]`, row `[D, n]`, constant `[D]`, less and more `[D, U]`, which have the same
    strides. The rounding of a sum is at most `share` times the size of its terms.
    """
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
    """Return the largest share of each input i in each domain d, as two tensors `[D, n]`.

    The first is the maximum over z of `above[d, z]·T⁺[z, i]` and `below[d, z]·|T⁻[z, i]|`. In the
    second, above and below are exchanged.
    """
    weight, above, below = (each.contiguous() for each in (weight, above, below))
    domains, (neurons, inputs) = len(above), weight.shape
    low, high = above.new_empty(domains, inputs), above.new_empty(domains, inputs)
    if domains:
        with launcher.on(above.device):
            launcher.module(KERNELS).largest_shares[(domains, -(-inputs // BLOCK))](
                weight, above, below, low, high, neurons, inputs, BLOCK=BLOCK
            )
    return low, high
