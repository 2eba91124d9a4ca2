"""Compares the kernels of clipping on a device with clipping step by step on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch

from boundmesh.bounds.clipping import cutting, propagation
from boundmesh.bounds.clipping.affine_values import AffineValues, share_of_rounding
from boundmesh.kernels import fused_clipping
from boundmesh.operators.interval import Interval
from boundmesh.selfcheck.comparisons import Comparison, copies, rows_agree, trusted

DOMAINS, INPUTS, NEURONS = 6, 40, 7
# The tolerance is wide, because the search for a multiplier branches on rounded numbers.
CLOSE = 1e-3


@cache
def clipping_agrees(device: torch.device) -> bool:
    """Return True if clipping may use its kernels on `device`. Warns if they are wrong there."""
    return rows_agree(device) and trusted(device, of_clipping, CLOSE)


def of_clipping(device: torch.device) -> Iterator[Comparison]:
    """Compare bounds of neurons under a constraint that can be satisfied, and largest shares."""
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(NEURONS, INPUTS, generator=random)
    constants = torch.randn(NEURONS, generator=random)
    center = torch.randn(DOMAINS, INPUTS, generator=random)
    box = Interval(center - 0.5, center + torch.rand(DOMAINS, INPUTS, generator=random))
    row = torch.randn(DOMAINS, INPUTS, generator=random)
    constant = -(row * center).sum(1) - 1
    less, more = (torch.rand(DOMAINS, NEURONS, generator=random) for _ in range(2))
    off = torch.rand(NEURONS, generator=random) / 100
    values = AffineValues(rows, constants, off, torch.arange(NEURONS), (INPUTS,))
    its_rows, its_constants, its_off = copies(device, rows, constants, off)
    its = AffineValues(its_rows, its_constants, its_off, values.places, values.shape)
    lower, upper, its_row, its_constant = copies(device, box.lower, box.upper, row, constant)
    its_less, its_more = copies(device, less, more)
    tuning = cutting.MULTIPLIERS, share_of_rounding(its)
    cut = fused_clipping.cut_neurons(
        its, lower, upper, its_row, its_constant, its_less, its_more, *tuning
    )
    expected = cutting.Cutting(values, box, row, constant).neurons(less, more)
    shares = fused_clipping.largest_shares(its_rows, its_less, its_more)
    expected_shares = propagation.largest_shares(values, less, more)
    for value, expected_value in zip((*cut, *shares), (*expected, *expected_shares), strict=True):
        yield "clipping", value, expected_value
