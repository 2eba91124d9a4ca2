"""What a frontier gives back is what was put in, the smallest margins first."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from boundmesh.search.batches import Arrays
from boundmesh.search.frontier import Frontier


@dataclass(frozen=True)
class Numbered(Arrays):
    number: Tensor


@pytest.mark.parametrize("seed", range(5))
def test_a_frontier_gives_each_domain_once_and_the_worst_first(seed: int) -> None:
    order, frontier = random.Random(seed), Frontier[Numbered]()
    torch.manual_seed(seed)
    here: dict[int, float] = {}
    pushed = 0
    for _ in range(200):
        margins = torch.randn(order.randint(0, 50), dtype=torch.float64)
        numbers = torch.arange(pushed, pushed + len(margins))
        frontier.push(Numbered(margins, numbers))
        here |= dict(zip(numbers.tolist(), margins.tolist(), strict=True))
        pushed += len(margins)
        assert len(frontier) == len(here)
        if not here:
            continue
        assert frontier.worst == min(here.values())
        count = order.randint(1, 60)
        if order.random() < 0.8:
            taken = frontier.pop(count)
            assert set(taken.number.tolist()) == set(sorted(here, key=here.get)[:count])
        else:
            taken = frontier.give(min(count, len(here)))
            assert len(taken) == min(count, len(here))
        for number, margin in zip(taken.number.tolist(), taken.margin.tolist(), strict=True):
            assert here.pop(number) == margin


def test_what_is_given_is_every_kth_by_its_margin() -> None:
    frontier = Frontier[Numbered]()
    margins = torch.randperm(12).double()
    for part in margins.split(5):
        frontier.push(Numbered(part, part.long()))
    assert sorted(frontier.give(4).number.tolist()) == [0, 3, 6, 9]
    assert len(frontier) == 8 and frontier.worst == 1
