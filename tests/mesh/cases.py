"""What a rank is asked to bound, by every method, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.bounds.alpha import Schedule, alpha_crown
from boundmesh.bounds.crown import Problem, crown, interval_rows
from boundmesh.bounds.layout import Layout, OneDevice
from boundmesh.bounds.rows import DenseRows
from boundmesh.graph.graph import Graph
from boundmesh.mesh.group import Group
from boundmesh.mesh.layout import Gather, Offload
from boundmesh.rules.operator import Interval
from tests import networks

METHODS = ("ibp", "crown-ibp", "crown", "alpha-crown")


@dataclass(frozen=True)
class Case:
    """A network of `tests.networks`, or an MLP of `sizes`, on `domains` boxes."""

    network: str = "mlp"
    sizes: tuple[int, ...] = ()
    seed: int = 0
    domains: int = 1
    tile_elements: int = 400

    @property
    def graph(self) -> Graph:
        if self.sizes:
            return networks.mlp(*self.sizes, seed=self.seed)
        return networks.NETWORKS[self.network](self.seed)

    def problem(self, layout: Layout) -> Problem:
        graph = self.graph
        where = networks.region(graph, 0.2, self.seed, self.domains)
        problem = networks.problem(graph, where, self.tile_elements)
        return replace(problem, layout=layout)

    def one_device(self) -> OneDevice:
        return OneDevice(self.graph, "cpu", networks.DTYPE)

    def gather(self, group: Group, wave: int = 1, offload: bool = False) -> Gather:
        return Gather(self.graph, group, "cpu", networks.DTYPE, wave, offload, replicated=0)

    def offload(self, wave: int = 1) -> Offload:
        return Offload(self.graph, "cpu", networks.DTYPE, wave, replicated=0)


def bound(problem: Problem, method: str) -> list[Tensor]:
    """The bounds of the outputs, then those of every start node."""
    rows = networks.both_ways(problem.program.graph)
    if method == "ibp":
        return [interval_rows(problem, rows)]
    if method == "alpha-crown":
        found = alpha_crown(problem, DenseRows(rows), Schedule(iterations=2))
        return [found.lower, *_ends(found.bounds)]
    lower, bounds = crown(problem, DenseRows(rows), by_rows=method == "crown")
    return [lower, *_ends(bounds)]


def gathered(
    group: Group, case: Case, method: str, wave: int = 1, offload: bool = False
) -> list[Tensor]:
    layout = case.gather(group, wave, offload)
    return [found.clone() for found in bound(case.problem(layout), method)]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    """Whether all bits agree."""
    return len(one) == len(other) and all(map(torch.equal, one, other))


def _ends(bounds: dict[str, Interval]) -> list[Tensor]:
    return [end for box in bounds.values() for end in (box.lower, box.upper)]
