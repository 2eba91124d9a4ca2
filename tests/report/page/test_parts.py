"""The parts of pages: pictures, radii, scales, curves, colours and words."""

from __future__ import annotations

import base64
import io
import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from boundmesh.property import Atom, Ball, Box, Case, Clause, Property
from boundmesh.report.page import words
from boundmesh.report.page.chart import MOST_POINTS, line, thinned
from boundmesh.report.page.picture import (
    ImageShape,
    drawn,
    drawn_difference,
    image_shape,
    value_range,
)
from boundmesh.report.page.png import png
from boundmesh.report.page.scale import Scale, around_zero, linear, logarithmic
from boundmesh.report.page.stage_memory import stage_memory, stage_peaks
from boundmesh.report.page.surroundings import of_radius, surroundings
from boundmesh.result import Result
from boundmesh.runtime.history import History, MemoryReading, Reading

MIB = 2**20
STYLE = Path(words.__file__).parent / "templates" / "style.css"


def opened(address: str) -> np.ndarray:
    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (5, 4, 3), (64, 65, 3)])
def test_another_program_reads_the_pixels_that_were_written(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)


@pytest.mark.parametrize("last", [False, True])
def test_rows_columns_and_channels_are_where_the_network_has_them(last: bool) -> None:
    image = np.zeros((3, 4, 5))
    image[2, 1, 3] = 1.0  # blue, second row, fourth column
    flat = (np.moveaxis(image, 0, 2) if last else image).reshape(-1)
    shape = ImageShape(3, 4, 5, last)
    pixels = opened(drawn(flat, shape, (0.0, 1.0)))
    assert pixels.shape == (4, 5, 3)
    assert pixels[1, 3].tolist() == [0, 0, 255] and pixels.sum() == 255
    assert shape.channel_of(flat)[flat == 1].tolist() == [2]


def test_a_difference_is_blue_where_it_falls_red_where_it_grows_and_white_elsewhere() -> None:
    change = np.array([0.0, -0.5, 0.5, 0.25])
    none, less, more, some = opened(drawn_difference(change, ImageShape(1, 1, 4)))[0].astype(int)
    assert none.min() > 240
    assert less[2] > less[0] and more[0] > more[2]
    assert abs(some - (none + more) / 2).max() <= 1


@pytest.mark.parametrize(
    ("shape", "high", "found"),
    [
        ((1, 1, 28, 28), 1.0, ImageShape(1, 28, 28)),
        ((1, 3, 32, 32), 2.6, ImageShape(3, 32, 32)),
        ((1, 32, 30, 3), 9.0, ImageShape(3, 32, 30, last=True)),
        ((3, 32, 32), 1.0, ImageShape(3, 32, 32)),
        ((1, 28, 28), 1.0, ImageShape(1, 28, 28)),
        ((1, 784), 1.0, ImageShape(1, 28, 28)),
        ((784,), 255.0, ImageShape(1, 28, 28)),
        ((1, 3072), 1.0, ImageShape(3, 32, 32)),
        ((1, 5), 1.0, None),
        ((1, 784), 2.6, None),
        ((1, 49), 1.0, None),
        ((1, 100, 3, 7), 1.0, None),
        ((1, 1, 2, 3), 1.0, None),
        ((), 1.0, None),
    ],
)
def test_images_are_told_from_other_inputs(
    shape: tuple[int, ...], high: float, found: ImageShape | None
) -> None:
    assert image_shape([shape], np.linspace(0, high, math.prod(shape))) == found


def test_two_inputs_are_no_image() -> None:
    assert image_shape([(1, 1, 8, 8), (1, 1, 8, 8)], np.zeros(128)) is None


def test_values_of_images_span_known_ranges_or_what_there_is() -> None:
    assert value_range(np.array([0.1, 0.9])) == (0.0, 1.0)
    assert value_range(np.array([0.0, 200.0])) == (0.0, 255.0)
    assert value_range(np.array([-2.0, 2.5])) == (-2.0, 2.5)


@given(
    seed=st.integers(0, 2**32 - 1),
    eps=st.sampled_from([0.001, 0.03, 0.1, 8 / 255]),
    digits=st.sampled_from([6, 8, None]),
    cut=st.booleans(),
)
def test_the_point_and_the_radius_of_a_box_are_found_again(
    seed: int, eps: float, digits: int | None, cut: bool
) -> None:
    x = np.random.default_rng(seed).uniform(0, 1, 40)
    x[:3] = 0.0
    x[3:6] = 1.0
    lower, upper = x - eps, x + eps
    if cut:
        lower, upper = lower.clip(0, 1), upper.clip(0, 1)
    if digits is not None:
        lower, upper = lower.round(digits), upper.round(digits)
    found = surroundings(Box(lower, upper))
    assert found is not None and found.norm == math.inf
    assert found.radii == (pytest.approx(eps, rel=1e-3),)
    assert np.abs(found.center - x).max() < 5e-6 + 2e-5 * eps
    assert found.clip == (pytest.approx((0, 1)) if cut else None)


def test_channels_may_have_radii_of_their_own() -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (3, 16))
    eps = np.array([[0.1], [0.2], [0.4]])
    box = Box((x - eps).reshape(-1), (x + eps).reshape(-1))
    assert surroundings(box) is None
    found = surroundings(box, np.arange(48) // 16)
    assert found is not None and found.radii == pytest.approx((0.1, 0.2, 0.4))
    assert np.allclose(found.center, x.reshape(-1))


def test_ranges_without_a_common_radius_have_none() -> None:
    assert surroundings(Box(np.array([0.0, 0.2, 0.3]), np.array([1.0, 0.5, 0.9]))) is None
    assert surroundings(Box(np.zeros(3), np.zeros(3))) is None


def test_a_ball_keeps_its_centre_and_radius() -> None:
    found = surroundings(Ball(np.array([1.0, 2.0]), 0.5, 2))
    assert found is not None and (found.radii, found.norm) == ((0.5,), 2)


@pytest.mark.parametrize(
    ("radius", "text"),
    [(0.1, "0.1"), (0.2, "0.2"), (8 / 255, "0.03137 (8/255)"), (0.0123456, "0.01235"), (3.0, "3")],
)
def test_a_radius_is_written_as_people_write_it(radius: float, text: str) -> None:
    assert of_radius(radius) == text


@given(
    numbers=st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=1, max_size=30),
)
def test_a_scale_around_zero_keeps_the_order_and_shows_zero(numbers: list[float]) -> None:
    scale = around_zero(numbers)
    check(scale, sorted([0.0, *numbers]))
    assert any(abs(value) < 1e-12 * (scale.high - scale.low) for value in scale.values)


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6))
def test_a_linear_scale_keeps_the_order_and_has_round_ticks(low: float, width: float) -> None:
    scale = linear(low, low + width)
    check(scale, [low, low + width / 3, low + width])
    assert 2 <= len(scale.values) <= 12


@given(low=st.floats(1e-3, 1e3), factor=st.floats(1, 1e6))
def test_a_logarithmic_scale_keeps_the_order(low: float, factor: float) -> None:
    check(logarithmic(low, low * factor), [low, low * math.sqrt(factor), low * factor])


def check(scale: Scale, numbers: list[float]) -> None:
    places = [scale.place(number) for number in numbers]
    assert all(0 <= place <= 1 for place in places)
    assert places == sorted(places)
    ticks = scale.ticks(str)
    assert all(0 <= tick.place <= 1 for tick in ticks)
    assert [tick.place for tick in ticks] == sorted(tick.place for tick in ticks)


def test_a_long_curve_keeps_its_ends_and_extremes() -> None:
    values = np.random.default_rng(2).normal(size=20_000)
    values[12_345], values[777] = 50.0, -50.0
    points = [(float(place), float(value)) for place, value in enumerate(values)]
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 4
    assert kept[0] == points[0] and kept[-1] == points[-1]
    assert {(12_345.0, 50.0), (777.0, -50.0)} <= set(kept)
    assert list(kept) == sorted(kept)


def test_a_curve_goes_from_its_first_point_to_its_last() -> None:
    curve = line("", [(0.0, 0.0), (1.0, 2.0)], linear(0.0, 1.0), linear(0.0, 2.0), 0)
    assert curve.path == "M0 1000L1000 0"


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2.1."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    light = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(light, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_texts_and_curves_stand_out_from_their_ground(scheme: int) -> None:
    """WCAG 2.1 demands a contrast of 4.5 for texts and of 3 for drawings."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE.read_text(encoding="utf-8"), re.DOTALL)
    colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", blocks[scheme]))
    for ground in ("paper", "wash", "proved-wash", "refuted-wash", "open-wash"):
        assert contrast(colours["ink"], colours[ground]) >= 7
    for text in ("soft", "proved", "refuted", "open"):
        assert contrast(colours[text], colours["paper"]) >= 4.5
    for text in ("proved", "refuted", "open"):
        assert contrast(colours["paper"], colours[text]) >= 4.5
        assert contrast(colours[text], colours["wash"]) >= 4.5
    for number in range(8):
        assert contrast(colours[f"c{number}"], colours["paper"]) >= 3


BOX = Box(np.zeros(2), np.ones(2))


def told(*clauses: Clause, outputs: int = 3) -> str:
    prop = Property((Case(BOX, clauses),), 2, outputs)
    return words.listed(words.claim(prop))


def atom(pairs: dict[int, float], bound: float = 0, strict: bool = False) -> Atom:
    return Atom((), pairs.items(), bound, strict)


def test_claims_are_told_as_people_tell_them() -> None:
    largest = Property.largest(BOX, 1, 3)
    assert words.claim(largest) == ["the score of class 1 (y[1]) stays above all others"]
    assert told(Clause([atom({0: -1, 1: 1}), atom({0: -1, 2: 1})])) == (
        "y[0] is never the largest of all outputs"
    )
    assert told(Clause([atom({0: 1, 1: -1}), atom({0: 1, 2: -1})])) == (
        "y[0] is never the smallest of all outputs"
    )
    assert told(Clause([atom({0: -1}, -4)])) == "y[0] stays below 4"
    assert told(Clause([atom({0: 2}, 1)]), Clause([atom({1: -1}, 5, strict=True)])) == (
        "y[0] stays above 0.5 and y[1] stays at or below -5"
    )
    assert told(Clause([atom({0: 1, 1: 1}, 3)])) == "it never happens that y[0] + y[1] ≤ 3"
    assert told() == "nothing is asked, so it holds"


@pytest.mark.parametrize("precision", ["real", "trust", "float32", "bfloat16"])
def test_the_guarantee_names_the_arithmetic(precision: str) -> None:
    (text,) = words.guarantee(precision, "unsat")
    name = {"real": "real numbers", "trust": "No rounding was counted"}.get(precision, precision)
    assert name in text
    assert len(words.guarantee(precision, "unknown")) == 2


def test_an_exact_radius_is_shown_beside_its_decimal() -> None:
    from boundmesh.report.page.certify_page import radius

    assert radius(Fraction(8, 255)) == "8/255 (0.03137)"
    assert radius(Fraction(1, 8)) == "0.125"
    assert radius(0.03) == "0.03"


def test_the_memory_of_a_stage_is_the_most_that_was_measured_or_the_peak_that_rose() -> None:
    def reading(seconds: float, stage: str, now: int, peak: int) -> Reading:
        return Reading(seconds, stage, {}, MemoryReading(now * MIB, peak * MIB))

    readings = (
        reading(0, "check", 100, 100), reading(1, "crown", 110, 100), reading(2, "crown", 120, 300),
        reading(3, "alpha-crown", 250, 300), Reading(4, "branch", {}),
    )  # fmt: skip
    found = stage_peaks(History(readings=readings))
    assert [(each.most, each.more) for each in found] == [
        ("100 MiB", "0 KiB"), ("300 MiB", "200 MiB"), ("250 MiB", "150 MiB")
    ]  # fmt: skip


def test_the_terms_of_each_method_that_ran_add_up_to_its_peak(results: dict[str, Result]) -> None:
    result = results["table-split"]
    found = stage_memory(result)
    ran = [words.stage(each.stage) for each in result.reached if each.unstable]
    assert [each.name for each in found.methods] == [name for name in ran if "bounds" in name]
    shares = [sum(part.share for part in method.parts) for method in found.methods]
    assert max(shares) == pytest.approx(100, abs=3) and min(shares) > 0
    legend = dict(found.legend)
    for method in found.methods:
        for part in method.parts:
            assert legend[part.name.partition(": ")[0]] == part.colour


def test_a_result_without_bounds_has_no_terms(results: dict[str, Result]) -> None:
    assert stage_memory(results["empty"]).methods == ()
    assert stage_memory(results["timed-out"]).methods == ()
