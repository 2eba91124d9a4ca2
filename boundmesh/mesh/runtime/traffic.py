"""Chooses the schedule that moves fewer bytes: `gather` moves weights, `exchange` moves rows."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from boundmesh.bounds.sweep.node_weights import product_of
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.tile_heights import tiling
from boundmesh.graph.graph import Graph
from boundmesh.mesh.exchange.placement import gathers_rows, is_product
from boundmesh.operators import RULES

NUMBER = 4
"""The bytes of a float32; the comparison is the same for other types."""


@dataclass(frozen=True)
class Traffic:
    """The bytes that one of P ranks receives while CROWN bounds every neuron of D domains.

        gather      Σ rounds · W · (P − 1)/P     each round of P tiles fetches every weight once
        exchange    Σ R · D · n · (P − 1)/P      every product needs an all-gather of R rows of its
                                                 n outputs, or a reduce-scatter at its n inputs
                  + Σ R · D · n · (P − 1)/P²     every sum over n neurons needs an all-to-all

    Here R is 2 rows for each neuron of a start node. Stable neurons need no rows, which reduces
    both numbers alike.
    """

    gather: int
    exchange: int

    @property
    def schedule(self) -> str:
        """The schedule with fewer bytes; `gather` if both are equal."""
        return "exchange" if self.exchange < self.gather else "gather"


def traffic(graph: Graph, ranks: int, tile_elements: int, domains: int = 1) -> Traffic:
    """Count the bytes received in sweeps from every start node and from the output."""
    program = Program(graph, graph.output)
    gather = exchange = all_to_all = 0
    for start in (*program.starts, program.target):
        if start in program.exact:
            continue
        rows = 2 * graph[start].size
        units = start != program.target
        cut = tiling(program, start, domains, rows, tile_elements, windows=units)
        divided, tiles = cut.divisions, -(-rows // cut.height)
        for node in program.order(start):
            tiles *= divided[node.name].parts if node.name in divided else 1
            if product_of(node) is not None:
                weight = graph.weights[node.weights[0]].size
                gather += -(-tiles // ranks) * weight
            if is_product(node) and not gathers_rows(node, ranks):
                exchange += rows * domains * prod(node.input_shapes[0])
                all_to_all += rows * domains * node.size * len(node.weights[1:])
            elif is_product(node) and node.name != start:
                exchange += rows * domains * node.size
            elif node.is_input or not RULES[node.op].affine:
                all_to_all += rows * domains * node.size
    share = NUMBER * (ranks - 1)
    moved = (exchange * ranks + all_to_all) * share // ranks**2
    return Traffic(gather * share // ranks, moved)
