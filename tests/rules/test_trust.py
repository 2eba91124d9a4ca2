"""Kernels are used only where they compute what the rules do.

Runs on a GPU with Triton, and where TRITON_INTERPRET=1 lets Triton interpret on the CPU.
"""

from __future__ import annotations

import pytest
import torch

from boundmesh.kernels import fused_linear, fused_rows, matmul
from boundmesh.selfcheck import comparisons
from tests.kernels import DEVICE, needs_kernels

pytestmark = needs_kernels

HERE = torch.device(DEVICE)


def test_all_kernels_agree_with_the_rules() -> None:
    assert len(list(comparisons.of_rows(HERE))) >= 13
    assert comparisons.trusted(HERE, comparisons.of_rows)


def test_a_kernel_that_is_wrong_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_rows, "signed_inner", lambda rows, *_: rows.new_zeros(rows.shape[:2]))
    with pytest.warns(RuntimeWarning, match="signed sums"):
        assert not comparisons.trusted(HERE, comparisons.of_rows)


def test_a_kernel_that_fails_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(fused_linear, "interval", broken)
    with pytest.warns(RuntimeWarning, match="no kernel image"):
        assert not comparisons.trusted(HERE, comparisons.of_rows)


def test_memory_that_runs_out_says_nothing_of_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(fused_rows, "signed_inner", full)
    with pytest.raises(torch.OutOfMemoryError):
        comparisons.trusted(HERE, comparisons.of_rows)


def test_references_are_made_on_the_cpu() -> None:
    references = [expected for _, _, expected in comparisons.of_rows(HERE)]
    assert all(each.device.type == "cpu" and each.dtype == torch.float64 for each in references)


@pytest.mark.skipif(not matmul.usable(HERE), reason="there is no Hopper GPU")
def test_products_in_blocks_of_every_size_agree() -> None:
    assert comparisons.trusted(HERE, comparisons.of_products)


def test_nan_is_near_nothing() -> None:
    nan = torch.tensor([float("nan")])
    assert not comparisons.close(nan, nan.double()) and not comparisons.close(
        nan, torch.zeros(1).double()
    )
