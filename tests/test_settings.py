from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from boundmesh.errors import BoundmeshError
from boundmesh.named_options import with_options
from boundmesh.settings import AttackSettings, BoundSettings, BranchSettings, Layout, Settings


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
        {"timeout": "60"},
        {"timeout": 10**400},
        {"timeout": True},
        {"seed": -1},
        {"iterations": 1.5},
        {"learning_rate": float("nan")},
        {"decay": 2.0},
        {"batch": 0},
        {"levels": 0},
        {"threads": 10**9},
        {"device": 0},
        {"bounds": "crown"},
        {"mesh": 2},
        {"mesh": "shards=" + "9" * 5000},
        {"mesh": "domains=0"},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(option):
    (name,) = option
    with pytest.raises(BoundmeshError, match=name):
        with_options(Settings(), **option)


@pytest.mark.parametrize("axis", ["shards", "domains"])
@pytest.mark.parametrize("length", [0, -2, 1.5, "2", None])
def test_a_layout_has_whole_lengths(axis, length):
    with pytest.raises(BoundmeshError, match=axis):
        Layout(**{axis: length})


def test_numbers_of_any_library_are_numbers():
    settings = with_options(Settings(), seed=np.int64(3), timeout=np.float32(2), steps=np.uint8(4))
    assert settings == Settings(seed=3, timeout=2.0, attack=AttackSettings(steps=4))
    assert [type(n) for n in (settings.seed, settings.timeout)] == [int, float]


def test_a_stage_and_an_option_of_it_go_together():
    settings = with_options(Settings(), bounds=BoundSettings(iterations=3), method="ibp")
    assert settings.bounds == BoundSettings("ibp", 3)


def test_a_number_too_long_to_be_written_out_is_refused():
    with pytest.raises(BoundmeshError, match="seed is a very long int"):
        with_options(Settings(), seed=10**5000)


def test_settings_must_be_settings():
    with pytest.raises(BoundmeshError, match="Settings"):
        with_options({"timeout": 3})


def test_settings_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Settings().seed = 1  # type: ignore[misc]


def test_no_two_stages_have_an_option_of_one_name():
    stages = (AttackSettings, BoundSettings, BranchSettings, Settings)
    names = [option.name for stage in stages for option in fields(stage)]
    assert len(names) == len(set(names))
