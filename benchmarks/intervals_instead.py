"""What intervals in place of rows do to bounds: why exchange never takes them.

    python benchmarks/intervals_instead.py

The tensor parallelism of arXiv 2606.09377 bounds what lies behind a sharded layer by intervals.
For 784-256×d-10 each line gives the mean width of the outputs' bounds, with rows and with
intervals for the hidden layers, and the largest difference of a bound.
"""

from __future__ import annotations

import json

import torch
from crown_mlp import problem_around
from measure import parser
from networks import mlp

from boundmesh.bounds.methods.crown import crown
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.layout import OneDevice
from boundmesh.bounds.sweep.rows import DenseRows


def main() -> None:
    options = parser(__doc__).parse_args()
    for depth in (2, 4, 6):
        graph, x = mlp(784, *[256] * depth, 10)
        problem = problem_around(graph, x, OneDevice(graph), options)
        rows, intervals = (ends(problem, by_rows=by_rows) for by_rows in (True, False))
        line = {
            "benchmark": "intervals_instead",
            "depth": depth,
            "width_by_rows": width(rows),
            "width_by_intervals": width(intervals),
            "largest_difference": float((rows - intervals).abs().max()),
        }
        print(json.dumps(line))


@torch.no_grad()
def ends(problem: Problem, *, by_rows: bool) -> torch.Tensor:
    """Lower bounds of the outputs, then of their negatives, `[2, 10]`."""
    eye = torch.eye(10).reshape(1, 10, 1, 10)
    rows = DenseRows(torch.cat([eye, -eye], dim=1))
    return crown(problem, rows, by_rows=by_rows)[0].reshape(2, 10)


def width(both: torch.Tensor) -> float:
    return float(-both.sum(0).mean())


if __name__ == "__main__":
    main()
