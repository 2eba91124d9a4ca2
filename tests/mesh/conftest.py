"""Ranks for the tests of this room: two, and four, started once for a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.mesh.ranks import Ranks


@pytest.fixture(scope="session", params=[2, 4], ids=["2 ranks", "4 ranks"])
def ranks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ranks]:
    torch.set_num_threads(1)
    started = Ranks(request.param, tmp_path_factory.mktemp("ranks"))
    yield started
    started.close()
