"""Makes the region of a command from its options or its property."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from boundmesh.errors import BoundmeshError, ReadError

if TYPE_CHECKING:
    import numpy as np

    from boundmesh.graph.graph import Graph
    from boundmesh.property import Ball, Box, Property

NORMS = (1.0, 2.0, math.inf)


def parse_clip(text: str | None) -> tuple[float, float] | None:
    """Read a pair such as `0,1`; raise BoundmeshError for anything else."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise BoundmeshError(f"--clip is '{text}'; expected two numbers, as in 0,1") from None
    if not low <= high:
        raise BoundmeshError(f"--clip is '{text}'; expected the smaller number first")
    return low, high


@dataclass(frozen=True)
class Neighbourhood:
    """One input and its changes, which `verify` takes in place of a property.

    file   the `.npy` file of the input
    eps    the largest change, as it was written
    norm   the norm of a change, as it was written
    clip   the range to which changed inputs are cut
    label  the class that the input must keep (None: the one that the network predicts)
    """

    file: Path
    eps: str
    norm: str
    clip: tuple[float, float] | None
    label: int | None

    def property(self, graph: Graph) -> Property:
        """Make the property that the input keeps its label; BoundmeshError where that fails."""
        from boundmesh.certify.single import keeps_label

        return keeps_label(graph, _load(self.file), self.eps, self.label, self.norm, self.clip)


def neighbourhood(
    file: Path | None, eps: str | None, norm: str, clip: str | None, label: int | None
) -> Neighbourhood | None:
    """Return what `--input` and the options beside it describe, or None without `--input`.

    Raises BoundmeshError where one of them is given without the other.
    """
    if file is None:
        given = {"--eps": eps, "--clip": clip, "--label": label}
        for option, value in given.items():
            if value is not None:
                raise BoundmeshError(f"{option} needs --input FILE.npy, the input that it is about")
        return None
    if eps is None:
        raise BoundmeshError("--input needs --eps, the largest change of the input, as in 8/255")
    return Neighbourhood(file, eps, norm, parse_clip(clip), label)


def parse_numbers(option: str, text: str | None) -> list[Fraction] | None:
    """Read numbers such as `0.5,0.4,0.3`, exactly; raise BoundmeshError for anything else."""
    from boundmesh.rational import number_of

    return None if text is None else [number_of(part.strip(), option) for part in text.split(",")]


def around(
    file: Path,
    eps: str | None,
    clip: tuple[float, float] | None,
    norm: float,
    spec: str | None,
) -> Box | Ball:
    """Make the box or ball around the point in a `.npy` file; BoundmeshError where that fails."""
    from boundmesh.property import Ball, Box
    from boundmesh.rational import radius_of

    if spec is not None:
        raise BoundmeshError("SPEC and --input both name the inputs; give one of them")
    if eps is None:
        raise BoundmeshError("--input needs --eps, the radius around the point")
    if norm not in NORMS:
        raise BoundmeshError(f"--norm is {norm:g}; expected 1, 2 or inf")
    point, radius = _load(file), radius_of(eps, "--eps")
    if norm == math.inf:
        return Box.around(point, radius, clip)
    return Ball(point, radius, norm, clip)


def of_property(
    spec: str | None, graph: Graph, name: str | None, case: int
) -> tuple[Box | Ball, str | None]:
    """Return the region of one case of a property, and a warning where there are other cases."""
    from boundmesh.commands.query import read_property

    if spec is None:
        raise BoundmeshError("which inputs? give a property SPEC, or --input FILE.npy --eps R")
    cases = read_property(Path(spec), graph, name).cases
    if case >= len(cases):
        raise BoundmeshError(f"--case is {case}; the property has {len(cases)} cases, from 0")
    if len(cases) == 1:
        return cases[0].region, None
    return cases[case].region, (
        f"the property has {len(cases)} input regions; these are the bounds over number {case} "
        "(choose with --case)"
    )


def _load(file: Path) -> np.ndarray:
    import numpy as np

    # Imported here, since it imports the room `read`.
    from boundmesh.read.arrays import load_file

    point = load_file(file, ".npy")
    if not isinstance(point, np.ndarray) or point.dtype.kind not in "fiub":
        raise ReadError(f"{file} holds no array of real numbers")
    return point
