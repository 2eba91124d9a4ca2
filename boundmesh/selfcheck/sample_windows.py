"""Makes rows in windows, and a value that they stand on, for comparisons of kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from boundmesh.operators.window_grid import Grid, Span
from boundmesh.operators.windows import Windows

ROWS, LENGTH, WINDOW = 6, 9, 4


def sample_windows(
    domains: int, features: int, generator: torch.Generator
) -> tuple[Windows, Tensor]:
    """Return random rows `[D, S, *window, C]` in float64 and a value `[1, 1, C, H, W]`.

    Some of the windows reach beyond the map. The coefficients there are zero.
    """
    shape = (1, features, LENGTH, LENGTH + 1)
    places = torch.randint(0, LENGTH, (ROWS, 2), generator=generator)
    grid = Grid(places, (Span(1, -2, WINDOW, shape[2]), Span(1, 0, WINDOW - 1, shape[3])))
    rows = torch.randn(domains, ROWS, *grid.window, features, generator=generator)
    rows.masked_fill_(grid.outside.unsqueeze(-1), 0)
    middle = torch.randn(1, *shape, generator=generator)
    return Windows(rows.double(), grid, shape[:2]), middle
