"""α-CROWN on 784-h×d-10: lower bounds of the outputs, all start nodes optimised jointly.

python benchmarks/alpha_mlp.py --hidden 4096 --depth 4 --iterations 20 --shards 2
"""

from __future__ import annotations

import argparse

import torch
from crown_mlp import problem_around
from measure import parser, place, report, start
from networks import mlp

from boundmesh.bounds.methods.alpha import StepSchedule, alpha_crown
from boundmesh.bounds.sweep.rows import DenseRows


def main(options: argparse.Namespace) -> None:
    with place(options) as at:
        graph, x = mlp(784, *[options.hidden] * options.depth, 10)
        problem = problem_around(graph, x, at.layout(graph, options), options)
        rows = DenseRows(torch.eye(10, device=at.device).reshape(1, 10, 1, 10))

        def bound(iterations: int = options.iterations) -> list[torch.Tensor]:
            return [alpha_crown(problem, rows, StepSchedule(iterations)).lower]

        facts = {"hidden": options.hidden, "depth": options.depth, "iterations": options.iterations}
        report(at, "alpha_mlp", options, bound, lambda: bound(2), **facts)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--hidden", type=int, default=4096)
    options.add_argument("--depth", type=int, default=4)
    options.add_argument("--iterations", type=int, default=20)
    start(main, options.parse_args())
