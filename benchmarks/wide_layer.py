"""CROWN through one wide hidden layer, 4096-H-1, for many inputs, ε 0.01 in [0, 1].

    python benchmarks/wide_layer.py --hidden 131072 --inputs 2048 --shards 2 --schedule exchange

The inputs are bounded in chunks of domains, which all ranks share.
"""

from __future__ import annotations

import argparse

import torch
from measure import parser, place, report, rounding_of, start
from networks import mlp

from boundmesh.bounds.methods.crown import crown
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rows import DenseRows

EPSILON = 0.01


def main(options: argparse.Namespace) -> None:
    with place(options) as at, torch.no_grad():
        graph, _ = mlp(options.wide, options.hidden, 1)
        layout = at.layout(graph, options)
        generator = torch.Generator().manual_seed(42)
        x = torch.rand(options.inputs, 1, options.wide, generator=generator).to(at.device)
        rows = DenseRows(torch.tensor([1.0, -1.0], device=at.device).reshape(1, 2, 1, 1))
        program = Program(graph, graph.output)
        rounding = rounding_of(graph, layout, options)

        def bound() -> list[torch.Tensor]:
            found = []
            for part in x.split(options.chunk):
                region = BoxRegion((part - EPSILON).clamp(min=0), (part + EPSILON).clamp(max=1))
                problem = Problem(program, region, layout, options.tile_elements, rounding=rounding)
                found.append(crown(problem, rows)[0])
            return [torch.cat(found)]

        facts = {"wide": options.wide, "hidden": options.hidden, "inputs": options.inputs}
        report(at, "wide_layer", options, bound, chunk=options.chunk, **facts)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--wide", type=int, default=4096)
    options.add_argument("--hidden", type=int, default=131072)
    options.add_argument("--inputs", type=int, default=2048)
    options.add_argument("--chunk", type=int, default=128, help="domains at a time")
    start(main, options.parse_args())
