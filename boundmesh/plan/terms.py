"""The terms of memory, and the functions whose tensors belong to each."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from types import CodeType

import boundmesh

ROOT = str(Path(boundmesh.__file__).parent)


class Term(Enum):
    """A part of a rank's memory; the value describes it in words."""

    WEIGHTS = "weights held by the rank"
    FETCHED = "weights fetched from other ranks"
    REGION = "region and rows asked for"
    BOUNDS = "bounds and rounding errors"
    LINES = "relaxations"
    ROWS = "tiles of rows"
    SLOPES = "α and its moments"
    GRADIENTS = "gradients"
    TILE_GRADIENTS = "gradients to bounds, one set a tile"
    WORKSPACE = "workspace of cuBLAS"
    OTHER = "everything else"

    @property
    def per_tile(self) -> bool:
        """True if every tile keeps a tensor of its own until all tiles are done."""
        return self in (Term.SLOPES, Term.TILE_GRADIENTS)


# For each file, the term of its functions; a function named after a dot has a term of its own.
# The innermost call that is listed decides, so operators and kernels belong to whoever calls them.
OWNERS: Mapping[str, Term] = {
    "bounds/sweep/layout.py.__getitem__": Term.WEIGHTS,
    "mesh/gather/sources.py": Term.WEIGHTS,
    "mesh/gather/peers.py": Term.WEIGHTS,
    "mesh/gather/weights.py.__init__": Term.WEIGHTS,
    "mesh/gather/weights.py._fetch": Term.FETCHED,
    "mesh/gather/weights.py.__getitem__": Term.FETCHED,
    "mesh/gather/distributed_product.py": Term.ROWS,
    "mesh/exchange/shards.py.__init__": Term.WEIGHTS,
    "mesh/exchange/shards.py": Term.FETCHED,
    "mesh/exchange/columns.py.push": Term.FETCHED,
    "bounds/sweep/node_weights.py.bias": Term.WEIGHTS,
    "bounds/sweep/intervals.py": Term.BOUNDS,
    "bounds/sweep/outward.py": Term.BOUNDS,
    "bounds/sweep/charge.py": Term.BOUNDS,
    "bounds/sweep/rounding_errors.py.enter": Term.BOUNDS,
    "bounds/sweep/products.py.interval": Term.BOUNDS,
    "bounds/methods/crown.py": Term.BOUNDS,
    "bounds/methods/alpha.py": Term.BOUNDS,
    "bounds/relaxation/drawn.py": Term.ROWS,
    "bounds/relaxation/lines.py": Term.LINES,
    "bounds/relaxation/fixed_lines.py": Term.LINES,
    "operators/pooled_lines.py.open": Term.LINES,
    "operators/pooled_lines.py.table": Term.LINES,
    "bounds/relaxation/slopes.py.start": Term.SLOPES,
    "bounds/relaxation/slopes.py.ascend": Term.GRADIENTS,
    "bounds/relaxation/slopes.py": Term.LINES,
    "bounds/sweep/rows.py": Term.ROWS,
    "bounds/sweep/backward.py": Term.ROWS,
    "bounds/sweep/remaining_path.py": Term.ROWS,
    "bounds/sweep/whole_rows.py": Term.ROWS,
    "bounds/sweep/tile_state.py": Term.ROWS,
    "bounds/sweep/products.py": Term.ROWS,
    "bounds/sweep/affine.py": Term.ROWS,
    "bounds/sweep/window_affine.py": Term.ROWS,
    "bounds/sweep/window_rows.py": Term.ROWS,
    "bounds/sweep/unit_rows.py": Term.ROWS,
    "bounds/sweep/region.py": Term.ROWS,
    "mesh/exchange": Term.ROWS,
    "bounds/methods/bound_gradients.py": Term.BOUNDS,
    "bounds/methods/sloped_rows.py._tile_gradient": Term.GRADIENTS,
    "bounds/methods/sloped_rows.py._to_bounds": Term.TILE_GRADIENTS,
    "plan/rehearsal.py": Term.REGION,
}


def term_of_caller() -> Term:
    """Return the term of the innermost function that `OWNERS` lists among the callers."""
    frame = sys._getframe(1)
    while frame is not None:
        term = _term_of(frame.f_code)
        if term is not None:
            return term
        frame = frame.f_back  # type: ignore[assignment]
    return Term.OTHER


@cache
def _term_of(code: CodeType) -> Term | None:
    if not code.co_filename.startswith(ROOT):
        return None
    file = Path(code.co_filename).relative_to(ROOT).as_posix()
    for place in (f"{file}.{code.co_name}", file, file.rpartition("/")[0]):
        if place in OWNERS:
            return OWNERS[place]
    return None
