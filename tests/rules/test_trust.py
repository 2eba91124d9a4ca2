"""Kernels are used only where they compute what the rules do.

Runs on a GPU with Triton, and where TRITON_INTERPRET=1 lets Triton interpret on the CPU.
"""

from __future__ import annotations

import pytest
import torch

from boundmesh.rules import fused, trust
from tests.rules.test_pieces import DEVICE, pytestmark  # noqa: F401

HERE = torch.device(DEVICE)


def test_all_kernels_agree_with_the_rules() -> None:
    compared = list(trust.comparisons(HERE))
    assert len(compared) >= 9
    assert all(trust.close(one, other) for _, one, other in compared)
    assert trust.trusted(HERE)


def test_a_kernel_that_is_wrong_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "signed_inner", lambda rows, *_: rows.new_zeros(rows.shape[:2]))
    with pytest.warns(RuntimeWarning, match="signed sums"):
        assert not trust.trusted(HERE)


def test_a_kernel_that_fails_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(fused, "interval", broken)
    with pytest.warns(RuntimeWarning, match="no kernel image"):
        assert not trust.trusted(HERE)


def test_nan_is_near_nothing() -> None:
    nan = torch.tensor([float("nan")])
    assert not trust.close(nan, nan.double()) and not trust.close(nan, torch.zeros(1).double())
