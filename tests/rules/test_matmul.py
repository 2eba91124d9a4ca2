"""Products out of bfloat16 ones are float32's, on Hopper GPUs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boundmesh.kernels import matmul

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() or not matmul.applies(*[torch.ones(1, 1, device="cuda")] * 2),
    reason="there is no Hopper GPU with Triton",
)
SHAPES = [(1, 40, 33), (20, 784, 70), (130, 96, 129)]
LARGE = [(1024, 2048, 4096), (1024, 2048, 784), (700, 4096, 1000), (20, 4096, 4096)]


def matrices(rows: int, deep: int, wide: int, *, transposed: bool) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(rows, 2 * deep, generator=generator).to("cuda")[:, 3 : 3 + deep]
    if transposed:
        return a, torch.randn(wide, deep, generator=generator).to("cuda").mT
    return a, torch.randn(deep, wide, generator=generator).to("cuda")


@pytest.mark.parametrize("shape", SHAPES + LARGE, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_a_product_is_as_exact_as_float32_allows(shape, transposed: bool) -> None:
    a, b = matrices(*shape, transposed=transposed)
    exact, size = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    found = matmul.mm(a, b)
    assert ((found.double() - exact).abs() / size).max() < 1e-6
    out = torch.ones(len(a), 2 * b.shape[1], device="cuda")[:, : b.shape[1]]
    again = matmul.mm(a, b, out, add=True)
    assert again is out and torch.equal(out, found + 1)


@pytest.mark.parametrize("shape", SHAPES + LARGE, ids=str)
def test_a_product_of_a_transposed_matrix_is_as_exact(shape) -> None:
    a, b = matrices(*shape, transposed=False)
    column_major = a.mT.contiguous().mT
    exact, size = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    assert matmul.applies(column_major, b)
    assert ((matmul.mm(column_major, b).double() - exact).abs() / size).max() < 1e-6


@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_a_product_has_the_same_bits_every_time(shape) -> None:
    a, b = matrices(*shape, transposed=False)
    found = matmul.mm(a, b)
    assert all(torch.equal(found, matmul.mm(a, b)) for _ in range(3))


def test_a_row_that_is_not_a_number_stays_so() -> None:
    a, b = matrices(20, 64, 40, transposed=False)
    a = a.clone()
    a[3, 5] = float("inf")
    found = matmul.mm(a, b)
    assert not found[3].isfinite().any() and found[4].isfinite().all()
