"""The lengths of a mesh's two axes, and how they are read from text such as `shards=2`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from boundmesh.errors import BoundmeshError

AXES = ("shards", "domains")
LENGTH = re.compile(r"0*[1-9][0-9]{0,5}", re.ASCII)


@dataclass(frozen=True)
class MeshShape:
    """The lengths of a mesh's axes.

    shards   how many ranks form a group, which works on one problem in step
    domains  how many such groups there are; each searches domains of its own
    """

    shards: int = 1
    domains: int = 1

    @property
    def size(self) -> int:
        return self.shards * self.domains

    def __str__(self) -> str:
        return f"shards={self.shards},domains={self.domains}"


def parse_mesh(text: str) -> MeshShape:
    """Read `shards=2` or `shards=2,domains=4`; empty text stands for one rank.

    Raises BoundmeshError for any other text.
    """
    lengths: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        axis, _, length = part.partition("=")
        if axis not in AXES or axis in lengths or not LENGTH.fullmatch(length):
            raise BoundmeshError(
                f"the mesh has the part '{part}'; expected shards=N and domains=N, N ≥ 1, "
                "each at most once, as in --mesh shards=2,domains=4"
            )
        lengths[axis] = int(length)
    return MeshShape(**lengths)
