"""CROWN on 784-h×d-10: lower and upper bounds of the outputs, ε 0.02 in [0, 1].

python benchmarks/crown_mlp.py --hidden 4096 --depth 4 --shards 2 --schedule gather
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from measure import parser, place, report, rounding_of, start
from networks import mlp

from boundmesh.bounds.methods.crown import crown
from boundmesh.bounds.methods.ibp import interval_rows
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.layout import DeviceLayout
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import region_tensors
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.graph import Graph
from boundmesh.property import Box

EPSILON = 0.02


def main(options: argparse.Namespace) -> None:
    with place(options) as at, torch.no_grad():
        graph, x = mlp(784, *[options.hidden] * options.depth, 10)
        layout = at.layout(graph, options)
        problem = problem_around(graph, x, layout, options)
        eye = torch.eye(10, device=at.device).reshape(1, 10, 1, 10)
        rows = torch.cat([eye, -eye], dim=1)

        def bound() -> list[torch.Tensor]:
            if options.method == "ibp":
                return [interval_rows(problem, DenseRows(rows))]
            return [crown(problem, DenseRows(rows), by_rows=options.method == "crown")[0]]

        facts = {"hidden": options.hidden, "depth": options.depth, "method": options.method}
        report(at, "crown_mlp", options, bound, **facts)


def problem_around(
    graph: Graph, x: np.ndarray, layout: DeviceLayout, options: argparse.Namespace
) -> Problem:
    box = Box.around(x, EPSILON, clip=(0, 1))
    region = region_tensors([box], graph[graph.input].shape, layout.dtype, layout.device)
    rounding, tile_elements = rounding_of(graph, layout, options), options.tile_elements
    program = Program(graph, graph.output)
    return Problem(program, region, layout, tile_elements, rounding=rounding)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--hidden", type=int, default=4096)
    options.add_argument("--depth", type=int, default=4)
    options.add_argument("--method", choices=["ibp", "crown-ibp", "crown"], default="crown")
    start(main, options.parse_args())
