"""Inputs on a page: pictures where they are an image, and tables of values with their ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from boundmesh.property import Ball, Box, Property
from boundmesh.rational import decimal
from boundmesh.report import words as terms
from boundmesh.report.page.picture import (
    ImageShape,
    Picture,
    drawn,
    drawn_difference,
    image_shape,
    value_range,
)
from boundmesh.report.page.surroundings import Surroundings, middle, ranges, surroundings

if TYPE_CHECKING:
    from boundmesh.graph.graph import Graph
    from boundmesh.verdict import Counterexample

MOST_INPUTS, MOST_PIXELS, MOST_OUTPUTS = 100, 20, 40
IMAGE, MIDDLE = "The image", "The middle of the ranges"
"""What the first picture shows."""


@dataclass(frozen=True)
class InputRow:
    """An input: its name, range and value, and the place of the value in the range in percent.

    `exact` is the value with all its digits.
    """

    name: str
    low: str
    value: str
    exact: str
    high: str
    place: float | None


@dataclass(frozen=True)
class OutputRow:
    """An output: its name and value, and whether the condition that holds has a term for it."""

    name: str
    value: str
    exact: str
    meant: bool


@dataclass(frozen=True)
class View:
    """A region, and the point in it that is shown.

    shape     how the inputs form an image; None where they do not
    near      the point and radius that the region was made from, if there are any
    pictures  the image, the counterexample, and their difference, as far as there are any
    rows      inputs with their ranges: all, or the most changed ones of an image
    left_out  how many inputs have no row
    changed   how many inputs of an image differ from the original
    """

    shape: ImageShape | None
    near: Surroundings | None
    pictures: tuple[Picture, ...]
    rows: tuple[InputRow, ...]
    left_out: int
    changed: int


def view(region: Box | Ball, graph: Graph, prop: Property, point: Counterexample | None) -> View:
    """Show a region and, where there is one, the counterexample in it."""
    lower, upper = ranges(region)
    original, near, shape = _original(region, [port.shape for port in graph.inputs])
    told = shape is not None or isinstance(region, Ball) or lower.size > MOST_INPUTS
    values, changed, order = original, 0, np.arange(lower.size)
    flat = None if point is None else point.input.reshape(-1)
    if point is not None and flat is not None:
        values = point.point
        away = np.abs(flat - original)
        changed = int((away > 1e-6 * float(away.max(initial=0))).sum())
        if told:
            order = np.argsort(-away, kind="stable")
    pictures: tuple[Picture, ...] = ()
    if shape is not None:
        name = MIDDLE if near is None else IMAGE
        pictures = pictures_of(original, flat, shape, value_range(original), name)
    most = MOST_PIXELS if shape is not None else MOST_INPUTS
    rows = tuple(
        _row(terms.element(prop, "input", i), lower[i], upper[i], values[i])
        for i in order[:most].tolist()
    )
    return View(shape, near if told else None, pictures, rows, lower.size - len(rows), changed)


def _original(
    region: Box | Ball, shapes: Sequence[Sequence[int]]
) -> tuple[np.ndarray, Surroundings | None, ImageShape | None]:
    """Return the region's center, its radius and norm, and the shape of the center as an image.

    If the region was not made around a point, the center is its middle, and radius and norm are
    None. The shape is None if the center is no image.
    """
    original = middle(region)
    if not original.size:
        return original, None, None
    near = surroundings(region)
    if near is not None:
        original = near.center
    shape = image_shape(shapes, original)
    if near is None and shape is not None:
        near = surroundings(region, shape.channel_of(original))
        if near is not None:
            original = near.center
    return original, near, shape


def outputs(counterexample: Counterexample, prop: Property) -> tuple[OutputRow, ...]:
    """Show the outputs at a counterexample, those of the condition that holds first if many."""
    clause = prop.cases[counterexample.case].clauses[counterexample.clause]
    meant = {place for atom in clause.every_atom for place, _ in atom.outputs}
    flat = counterexample.output.reshape(-1)
    places = list(range(flat.size))
    if len(places) > MOST_OUTPUTS:
        places = sorted(places, key=lambda place: place not in meant)[:MOST_OUTPUTS]
    names = [terms.element(prop, "output", i) for i in places]
    return tuple(
        OutputRow(name, f"{flat[i]:.6g}", decimal(float(flat[i])), i in meant)
        for name, i in zip(names, places, strict=True)
    )


def _row(name: str, low: float, high: float, value: float | Fraction) -> InputRow:
    number = float(value)
    share = (number - low) / (high - low) if high > low else None
    place = None if share is None else round(100 * min(max(float(share), 0.0), 1.0), 2)
    return InputRow(name, f"{low:.6g}", f"{number:.6g}", decimal(value), f"{high:.6g}", place)


def pictures_of(
    original: np.ndarray,
    flat: np.ndarray | None,
    shape: ImageShape,
    values: tuple[float, float],
    name: str = IMAGE,
) -> tuple[Picture, ...]:
    """Draw an image and, where there is one, its counterexample `flat` and their difference.

    `values` are the values of black and white, and `name` tells what the image is.
    """
    size = shape.height, shape.width
    low, high = (f"{end:.4g}" for end in values)
    tones = f"{low} is black, {high} is white" if shape.channels == 1 else f"from {low} to {high}"
    first = Picture(
        drawn(original, shape, values),
        name,
        f"{shape.words}; {tones}",
        f"{name} that the claim is about, {shape.words}",
        *size,
    )
    if flat is None:
        return (first,)
    change = flat - original
    most = f"{np.abs(change).max(initial=0):.4g}"
    key = (
        "blue is darker, red is brighter, white is unchanged"
        if shape.channels == 1
        else "grey is unchanged"
    )
    return (
        first,
        Picture(
            drawn(flat, shape, values),
            "The counterexample",
            f"changed by at most {most}",
            f"The counterexample, {shape.words}",
            *size,
        ),
        Picture(
            drawn_difference(change, shape),
            "The difference",
            f"{key}; the fullest colour is {most}",
            f"The change from the image to the counterexample, at most {most} in each value",
            *size,
        ),
    )
