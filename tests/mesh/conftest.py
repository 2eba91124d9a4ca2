"""Ranks for the tests of this room, started when first needed and used until the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from tests.mesh.ranks import Ranks


@pytest.fixture(scope="session")
def start_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Ranks]]:
    started: dict[int, Ranks] = {}

    def start(size: int) -> Ranks:
        if size not in started:
            started[size] = Ranks(size, tmp_path_factory.mktemp("ranks"))
        return started[size]

    torch.set_num_threads(1)
    yield start
    for ranks in started.values():
        ranks.close()


@pytest.fixture(params=[2, 4], ids=["2 ranks", "4 ranks"])
def ranks(request: pytest.FixtureRequest, start_ranks: Callable[[int], Ranks]) -> Ranks:
    return start_ranks(request.param)
