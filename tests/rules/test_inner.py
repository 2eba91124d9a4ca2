"""Sums over rows: their gradients are those of what they are made of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boundmesh.operators.inner_products import signed_inner

DOMAINS = [(1, 1, 1), (3, 3, 3), (3, 1, 1), (1, 3, 1), (1, 3, 3), (3, 3, 1), (1, 1, 3)]


@pytest.mark.parametrize(("own", "lines", "before"), DOMAINS)
@pytest.mark.parametrize("sides", [(True, True), (True, False), (False, True)])
def test_gradients_of_signed_sums_added_to_earlier_ones(
    own: int, lines: int, before: int, sides: tuple[bool, bool]
) -> None:
    torch.manual_seed(0)
    rows = torch.randn(own, 4, 5, dtype=torch.float64, requires_grad=True)
    below, above = (
        torch.randn(lines, 1, 5, dtype=torch.float64, requires_grad=True) if side else None
        for side in sides
    )
    onto = torch.randn(before, 4, dtype=torch.float64, requires_grad=True)

    def plain(rows: Tensor, below: Tensor | None, above: Tensor | None, onto: Tensor) -> Tensor:
        low = 0 if below is None else (rows.clamp(min=0) * below).sum(2)
        high = 0 if above is None else (rows.clamp(max=0) * above).sum(2)
        return onto + low + high

    leaves = [each for each in (rows, below, above, onto) if each is not None]
    found, expected = signed_inner(rows, below, above, onto), plain(rows, below, above, onto)
    assert found is not None
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(expected)
    for one, other in zip(
        torch.autograd.grad(found, leaves, weight),
        torch.autograd.grad(expected, leaves, weight),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
