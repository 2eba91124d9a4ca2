"""Predictions of an ascent: it goes on while it may decide something, and ends once it stands."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boundmesh.proof.outlook import WINDOW, coming_gains, worthwhile


def ascent(start: float, gain: float, ratio: float, steps: int) -> list[Tensor]:
    """The margins of an ascent: its first step gains `gain`, each next one `ratio` times that."""
    margins, now = [torch.tensor([start], dtype=torch.float64)], start
    for _ in range(steps):
        now, gain = now + gain, gain * ratio
        margins.append(torch.tensor([now], dtype=torch.float64))
    return margins


@pytest.mark.parametrize("ratio", [0.3, 0.8, 1.0])
@pytest.mark.parametrize("left", [2, 6, 14])
def test_gains_of_a_geometric_ascent_are_predicted_exactly(ratio: float, left: int) -> None:
    steps = 2 * WINDOW
    whole = ascent(-1.0, 0.1, ratio, steps + left)
    found = coming_gains(whole[: steps + 1], left)
    assert found is not None
    torch.testing.assert_close(found, whole[-1] - whole[steps])


def test_an_ascent_that_reaches_zero_goes_on() -> None:
    assert worthwhile(ascent(-1.0, 0.1, 1.0, 6), 14)
    assert worthwhile(ascent(-1.0, 0.1, 1.0, 6), 14, hurried=True)


def test_an_ascent_that_stands_ends() -> None:
    assert not worthwhile(ascent(-1.0, 0.1, 0.2, 6), 14)
    assert not worthwhile(ascent(-1.0, 0.0, 1.0, 6), 14)


def test_an_ascent_that_comes_nearer_goes_on_unless_it_is_hurried() -> None:
    margins = ascent(-1.0, 0.02, 1.0, 6)
    assert worthwhile(margins, 14)
    assert not worthwhile(margins, 14, hurried=True)


def test_one_margin_that_moves_is_enough() -> None:
    standing, moving = ascent(-1.0, 0.0, 1.0, 6), ascent(-1.0, 0.1, 1.0, 6)
    both = [torch.cat(pair) for pair in zip(standing, moving, strict=True)]
    assert worthwhile(both, 14)


def test_a_decided_margin_does_not_keep_an_ascent_going() -> None:
    standing, decided = ascent(-1.0, 0.0, 1.0, 6), ascent(0.1, 0.1, 1.0, 6)
    both = [torch.cat(pair) for pair in zip(standing, decided, strict=True)]
    assert not worthwhile(both, 14)


def test_an_ascent_behind_what_is_known_must_make_up_for_it_first() -> None:
    margins = ascent(-3.0, 0.1, 1.0, 6)
    assert worthwhile(margins, 14, torch.tensor([-1.9], dtype=torch.float64))
    assert not worthwhile(margins, 14, torch.tensor([-0.9], dtype=torch.float64))


def test_an_ascent_that_lags_by_more_than_is_missing_does_not_begin() -> None:
    first = [torch.tensor([-3.0])]
    assert not worthwhile(first, 20, torch.tensor([-1.0]))
    assert worthwhile(first, 20, torch.tensor([-2.0]))
    assert worthwhile([torch.tensor([-3.0, -3.0])], 20, torch.tensor([-1.0, -2.0]))


def test_margins_without_a_bound_and_too_few_steps_predict_nothing() -> None:
    assert worthwhile([torch.tensor([-torch.inf])] * 6, 14)
    assert worthwhile([torch.tensor([torch.nan])] * 6, 14)
    assert worthwhile(ascent(-1.0, 0.0, 1.0, 2 * WINDOW - 1), 14)
