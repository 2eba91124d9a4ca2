"""A step of Adam, and keeping winners, are the same in one kernel as in many.

Runs on a GPU with Triton, and where TRITON_INTERPRET=1 lets Triton interpret on the CPU.
"""

from __future__ import annotations

import pytest
import torch

from boundmesh.bounds.methods.adam import Adam, StepSizes, keep_winners
from boundmesh.kernels import pieces
from tests.kernels import DEVICE, needs_kernels

pytestmark = needs_kernels


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch):
    def switch(on: bool) -> None:
        monkeypatch.setattr(pieces, "applies", lambda like: on and like.dtype == torch.float32)

    return switch


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_step_in_one_kernel_is_a_step_in_many(unit: bool, scaled: bool, kernels) -> None:
    values = torch.rand(5, 2, 700, device=DEVICE)
    scale = torch.rand(5, 1, 1, device=DEVICE) if scaled else None
    one, other = Adam(values, unit=unit), Adam(values, unit=unit)
    mine, theirs = values.clone(), values.clone()
    pace = StepSizes(1, values)
    for step in (1, 2, 3):
        pace.set((0.1, step))
        gradient = torch.randn(5, 2, 700, device=DEVICE)
        gradient[0, 0, :2] = torch.tensor([float("nan"), 0.0])
        kernels(True)
        mine = one.ascend(mine, gradient.clone(), pace.steps[0], scale)
        kernels(False)
        theirs = other.ascend(theirs, gradient.clone(), pace.steps[0], scale)
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
        assert (mine >= 0).all() and (not unit or (mine <= 1).all())


@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_winners_replace_what_was_kept_and_others_do_not(stored: torch.dtype, kernels) -> None:
    values, kept = torch.randn(5, 3, 700, device=DEVICE), torch.randn(5, 3, 700, device=DEVICE)
    won = torch.tensor([True, False, True, True, False], device=DEVICE)
    for on in (False, True):
        kernels(on)
        found = keep_winners(won, values, kept.to(stored, copy=True))
        assert torch.equal(found[won], values[won].to(stored))
        assert torch.equal(found[~won], kept[~won].to(stored))
