from dataclasses import FrozenInstanceError, fields

import pytest

from boundmesh.errors import BoundmeshError
from boundmesh.settings import (
    AttackSettings,
    BoundSettings,
    BranchSettings,
    Layout,
    Settings,
    with_options,
)


def test_options_find_the_stage_they_belong_to():
    settings = with_options(Settings(), timeout=3.0, method="crown", restarts=2)
    assert settings == Settings(
        timeout=3.0, bounds=BoundSettings(method="crown"), attack=AttackSettings(restarts=2)
    )


@pytest.mark.parametrize(
    ("options", "layout"),
    [
        ({"mesh": "shards=2,domains=4"}, Layout(2, 4)),
        ({"mesh": "shards=2", "schedule": "gather"}, Layout(2, schedule="gather")),
        ({"mesh": Layout(2, schedule="exchange")}, Layout(2, schedule="exchange")),
        ({"mesh": Layout(shards=2), "offload": "weights"}, Layout(2, offload="weights")),
        ({"offload": "weights"}, Layout(offload="weights")),
        ({"mesh": ""}, Layout()),
    ],
    ids=str,
)
def test_a_mesh_is_a_layout_or_its_words(options, layout):
    assert with_options(Settings(), **options).layout == layout


def test_no_options_leave_settings_as_they_are():
    settings = Settings(seed=7, bounds=BoundSettings(iterations=3))
    assert with_options(settings) == settings


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(BoundmeshError, match=r"called speed; options are: .*timeout"):
        with_options(Settings(), speed=3)


@pytest.mark.parametrize(
    "option",
    [
        {"method": "magic"},
        {"dtype": "float8"},
        {"timeout": 0.0},
        {"timeout": float("nan")},
        {"iterations": -1},
        {"threads": 0},
        {"restarts": -1},
        {"steps": 0},
        {"tile_elements": 0},
        {"mesh": Layout(shards=0)},
        {"mesh": "domains=0"},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(option):
    (name,) = option
    with pytest.raises(BoundmeshError, match=name):
        with_options(Settings(), **option)


def test_settings_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Settings().seed = 1  # type: ignore[misc]


def test_no_two_stages_have_an_option_of_one_name():
    stages = (AttackSettings, BoundSettings, BranchSettings, Settings)
    names = [option.name for stage in stages for option in fields(stage)]
    assert len(names) == len(set(names))
