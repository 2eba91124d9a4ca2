"""Ranks for the tests of this room, started when first needed and used until the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from tests.mesh.command_ranks import CommandRanks
from tests.mesh.ranks import Ranks


@pytest.fixture(scope="session")
def start_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Ranks]]:
    started: dict[tuple[int, str], Ranks] = {}

    def start(size: int, device: str = "cpu") -> Ranks:
        if (size, device) not in started:
            started[size, device] = Ranks(size, tmp_path_factory.mktemp("ranks"), device)
        return started[size, device]

    torch.set_num_threads(1)
    yield start
    for ranks in started.values():
        ranks.close()


@pytest.fixture(params=[2, 4], ids=["2 ranks", "4 ranks"])
def ranks(request: pytest.FixtureRequest, start_ranks: Callable[..., Ranks]) -> Ranks:
    """So many ranks on CPUs, or what `COMBINATIONS` asks for."""
    asked = request.param
    return start_ranks(*asked) if isinstance(asked, tuple) else start_ranks(asked)


@pytest.fixture(scope="session")
def command_ranks(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[int], CommandRanks]]:
    """Ranks that run commands, so many as are asked for."""
    started: dict[int, CommandRanks] = {}

    def start(size: int) -> CommandRanks:
        if size not in started:
            started[size] = CommandRanks(size, tmp_path_factory.mktemp("command_ranks"))
        return started[size]

    yield start
    for ranks in started.values():
        ranks.close()
