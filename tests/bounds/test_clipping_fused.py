"""Clipping in one kernel cuts what clipping step by step cuts, and keeps every point that matters.

Runs on a GPU with Triton, and where TRITON_INTERPRET=1 lets Triton interpret on the CPU.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from boundmesh.bounds.clipping.affine_values import AffineValues
from boundmesh.bounds.clipping.constraints import Constraints, clip
from boundmesh.bounds.clipping.propagation import propagate
from boundmesh.kernels import fused_clipping
from boundmesh.operators.interval import Interval
from boundmesh.selfcheck import clipping
from boundmesh.selfcheck.comparisons import trusted
from tests.bounds import test_clipping as plain
from tests.kernels import DEVICE, needs_kernels

pytestmark = needs_kernels

SHAPES = [(5, 12), (40, 7), (700, 9)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    applies = lambda values: values.rows.dtype == torch.float32  # noqa: E731
    monkeypatch.setattr(fused_clipping, "applies", applies)
    return monkeypatch


def on_device(inputs: int, neurons: int, seed: int) -> tuple[AffineValues, Interval]:
    some = plain.affine(inputs, neurons, torch.float32, seed)
    box = plain.boxes(some, 6, seed)
    tensors = {name: getattr(some, name).to(DEVICE) for name in ("rows", "constants", "deviation")}
    some = replace(some, **tensors)
    return some, box.to(torch.device(DEVICE))


def constraints(inputs: int, neurons: int, seed: int) -> Constraints:
    generator = torch.Generator().manual_seed(seed)
    rows, constants = torch.randn(6, 2, inputs, generator=generator), torch.zeros(6, 2)
    more, less = (torch.rand(6, 2, neurons, generator=generator) for _ in range(2))
    return Constraints(*(each.to(DEVICE) for each in (rows, constants, more, less)))


@each_shape
@pytest.mark.parametrize("seed", range(3))
def test_one_kernel_cuts_what_steps_cut(shape: tuple[int, int], seed: int, fused) -> None:
    some, box = on_device(*shape, seed)
    inner = Interval(box.lower, box.upper - 0.3 * (box.upper - box.lower))
    for asked in (
        lambda: clip(some, inner, constraints(*shape, seed)),
        lambda: propagate(some, inner),
    ):
        fused.setattr(fused_clipping, "applies", lambda values: True)
        found = asked()
        fused.setattr(fused_clipping, "applies", lambda values: False)
        expected = asked()
        # Where nothing is left, how far it crosses says nothing.
        left = (expected.lower <= expected.upper).all(1)
        assert torch.equal((found.lower <= found.upper).all(1), left)
        for one, other in ((found.lower, expected.lower), (found.upper, expected.upper)):
            torch.testing.assert_close(one[left], other[left], rtol=1e-3, atol=1e-3)


def test_the_kernels_agree_with_clipping_step_by_step() -> None:
    here = torch.device(DEVICE)
    assert len(list(clipping.of_clipping(here))) == 4
    assert trusted(here, clipping.of_clipping, clipping.CLOSE)


def test_a_kernel_that_is_wrong_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    plain_shares = fused_clipping.largest_shares
    box_of_y = lambda weight, above, below: plain_shares(-weight, above, below)  # noqa: E731
    monkeypatch.setattr(fused_clipping, "largest_shares", box_of_y)
    with pytest.warns(RuntimeWarning, match="clipping"):
        assert not trusted(torch.device(DEVICE), clipping.of_clipping, clipping.CLOSE)


@pytest.mark.skipif(DEVICE != "cpu", reason="the points are made on the CPU")
@pytest.mark.parametrize("seed", range(5))
def test_points_that_matter_are_kept(seed: int, fused) -> None:
    plain.test_points_that_satisfy_all_constraints_and_bounds_are_kept(torch.float32, seed)
