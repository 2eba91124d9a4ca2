"""What a rank is asked to bound, by every method, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from boundmesh.bounds.methods.alpha import StepSchedule, alpha_crown
from boundmesh.bounds.methods.crown import crown
from boundmesh.bounds.methods.ibp import interval_rows
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.layout import DeviceLayout, OneDevice
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rows import DenseRows, Tile
from boundmesh.graph.graph import Graph
from boundmesh.mesh.exchange.layout import Exchange
from boundmesh.mesh.gather.layouts import Gather, Offload
from boundmesh.mesh.runtime.group import Group
from boundmesh.operators.interval import Interval
from boundmesh.operators.rounding import Rounding
from tests import networks
from tests.mesh import pooled

# Networks whose rows are windows for most start nodes.
IN_WINDOWS = {"pools": networks.pooled_maps, "growing maps": networks.encoder_decoder}
NETWORKS = {**networks.NETWORKS, "pooling": pooled.pooling_net, "mixing": pooled.mixing_net}


class Recording(OneDevice):
    """One device that notes the start node and the number of tiles of every sweep."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.dealt: list[tuple[str, int]] = []

    def deal(self, tiles: Sequence[Tile]) -> Sequence[Tile]:
        self.dealt.append((tiles[0].start, len(tiles)))
        return tiles


@dataclass(frozen=True)
class Case:
    """A network of `tests.networks`, or an MLP of `sizes`, on `domains` boxes.

    It is bounded in float64 on a CPU, in float32 on the GPU of whoever is asked.
    """

    network: str = "mlp"
    sizes: tuple[int, ...] = ()
    seed: int = 0
    domains: int = 1
    tile_elements: int = 8000
    kind: str = "cpu"

    @property
    def device(self) -> torch.device:
        on_gpu = self.kind == "cuda"
        return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.kind == "cuda" else networks.DTYPE

    @property
    def graph(self) -> Graph:
        if self.sizes:
            return networks.mlp(*self.sizes, seed=self.seed)
        return {**NETWORKS, **IN_WINDOWS}[self.network](self.seed)

    def problem(self, layout: DeviceLayout) -> Problem:
        graph = self.graph
        box = networks.region(graph, 0.2, self.seed, self.domains)
        where = BoxRegion(*(e.to(self.device, self.dtype) for e in (box.lower, box.upper)))
        problem = networks.problem(graph, where, self.tile_elements)
        return replace(problem, layout=layout, rounding=Rounding.of(self.dtype, "float32"))

    def one_device(self) -> OneDevice:
        return OneDevice(self.graph, self.device, self.dtype)

    def gather(self, group: Group, wave: int = 1, offload: bool = False) -> Gather:
        return Gather(self.graph, group, self.device, self.dtype, wave, offload, replicated=0)

    def exchange(self, group: Group) -> Exchange:
        return Exchange(self.graph, group, self.device, self.dtype)

    def offload(self, wave: int = 1) -> Offload:
        return Offload(self.graph, self.device, self.dtype, wave, replicated=0)


CASES = {
    **{name: Case(name) for name in NETWORKS},
    "many tiles": Case("mlp", tile_elements=50),
    "fewer neurons than ranks": Case(sizes=(5, 3, 2, 3, 2)),
    "several domains": Case(sizes=(4, 11, 7, 3), domains=3, tile_elements=200),
    "residual, several domains": Case("resnet", domains=2),
    **{name: Case(name, tile_elements=2**14) for name in IN_WINDOWS},
}
# Four ranks take long to agree on one machine: they get the cases in which more can go wrong.
ON_CPUS = [
    pytest.param(ranks, case, method, id=f"{ranks} ranks, {name}, {method}")
    for ranks in (2, 4)
    for name, case in CASES.items()
    for method in ("ibp", "crown-ibp", "crown", "alpha-crown")
    if (ranks == 2 and (method != "crown-ibp" or name == "mlp") and name not in IN_WINDOWS)
    or (ranks == 2 and method == "crown" and name in IN_WINDOWS)
    or (method in ("crown", "alpha-crown") and name in ("resnet", "pooling", "mixing"))
    or name == "fewer neurons than ranks"
]
ON_GPUS = [
    pytest.param(
        (2, "cuda"), replace(case, kind="cuda"), method, id=f"2 GPUs, {name}, {method}",
        marks=pytest.mark.skipif(torch.cuda.device_count() < 2, reason="it takes two GPUs"),
    )
    for name, case in CASES.items()
    for method in ("ibp", "crown", "alpha-crown")
]  # fmt: skip
COMBINATIONS = ON_CPUS + ON_GPUS


def bound(problem: Problem, method: str) -> list[Tensor]:
    """The bounds of the outputs, then those of every start node, in host memory."""
    layout = problem.layout
    rows = networks.both_ways(problem.program.graph).to(layout.device, layout.dtype)
    if method == "ibp":
        return [interval_rows(problem, DenseRows(rows)).cpu()]
    if method == "alpha-crown":
        optimised = alpha_crown(problem, DenseRows(rows), StepSchedule(iterations=2))
        found = [optimised.lower, *_ends(optimised.bounds)]
    else:
        lower, bounds = crown(problem, DenseRows(rows), by_rows=method == "crown")
        found = [lower, *_ends(bounds)]
    return [each.cpu() for each in found]


def gathered(
    group: Group, case: Case, method: str, wave: int = 1, offload: bool = False
) -> list[Tensor]:
    layout = case.gather(group, wave, offload)
    return [found.clone() for found in bound(case.problem(layout), method)]


def exchanged(group: Group, case: Case, method: str) -> list[Tensor]:
    return [found.clone() for found in bound(case.problem(case.exchange(group)), method)]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    """Whether all bits agree."""
    return len(one) == len(other) and all(map(torch.equal, one, other))


def close(one: list[Tensor], other: list[Tensor], tolerance: float = 1e-9) -> bool:
    """Whether all bounds agree, in both directions, but for rounding of the largest."""
    return len(one) == len(other) and all(
        bool(((a - b).abs() <= tolerance * b.abs().amax()).all())
        for a, b in zip(one, other, strict=True)
    )


def _ends(bounds: Mapping[str, Interval]) -> list[Tensor]:
    return [end for box in bounds.values() for end in (box.lower, box.upper)]
