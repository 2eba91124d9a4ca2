"""Reads the sizes, shares and ranges that a user of a plan writes."""

from __future__ import annotations

import re

from boundmesh.errors import BoundmeshError
from boundmesh.mesh_shape import parse_mesh
from boundmesh.ranges import shown

UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?)\s*([a-zA-Z]*)", re.ASCII)
MOST_SHARDS = 2**16


def parse_size(value: object) -> int:
    """Read a number of bytes such as `80GiB`, `24 GB` or 85899345920; BoundmeshError otherwise."""
    match = SIZE.fullmatch(str(value).strip()) if isinstance(value, str | int) else None
    unit = None if match is None else UNITS.get(match[2].lower())
    size = 0 if match is None or unit is None else int(float(match[1]) * unit)
    if size < 1:
        raise BoundmeshError(
            f"memory is {shown(value)}; expected a number of bytes with a unit, as in 80GiB, 24GB "
            "or 512MiB"
        )
    return size


def parse_share(value: object) -> float:
    """Read a share such as `30%` or 0.3; raise BoundmeshError for anything else."""
    text = str(value).strip()
    scale = 100 if text.endswith("%") else 1
    try:
        share = float(text.removesuffix("%")) / scale
    except ValueError:
        share = -1.0
    # Written so that NaN is refused.
    if isinstance(value, bool) or not 0 <= share <= 1:
        raise BoundmeshError(
            f"unstable is {shown(value)}; expected the share of unstable neurons, from 0% to 100%"
        )
    return share


def parse_shards(text: object) -> tuple[int, int]:
    """Read `shards=8` or `shards=1..1024` as the least and the most shards.

    Raises BoundmeshError for anything else.
    """
    if not isinstance(text, str):
        raise BoundmeshError(f"mesh is {shown(text)}; expected words such as shards=1..1024")
    first, dots, last = text.partition("..")
    shape = parse_mesh(first)
    most = parse_mesh(f"shards={last}").shards if dots else shape.shards
    if shape.domains > 1:
        raise BoundmeshError(
            f"the mesh is '{text}'; a plan is for one group of shards, and every group of domains "
            "takes the same memory: give shards alone"
        )
    if not shape.shards <= most <= MOST_SHARDS:
        raise BoundmeshError(
            f"the mesh is '{text}'; expected a range of shards from a smaller to a larger number, "
            f"at most {MOST_SHARDS}, as in shards=1..1024"
        )
    return shape.shards, most
