"""Searches that groups of ranks share, and what each rank says of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.layout import DeviceLayout, OneDevice
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.graph.forward import tensors, values
from boundmesh.graph.graph import Graph
from boundmesh.mesh.exchange.layout import Exchange
from boundmesh.mesh.gather.layouts import Gather
from boundmesh.mesh.runtime.domain_groups import DomainGroups
from boundmesh.mesh.runtime.group import Group
from boundmesh.mesh.runtime.join import Mesh, arrange
from boundmesh.mesh_shape import MeshShape
from boundmesh.proof.account import SearchAccount
from boundmesh.proof.margin_rows import margins_of
from boundmesh.proof.margins import Margins
from boundmesh.proof.question import Question
from boundmesh.proof.standing import Standing
from boundmesh.property import Atom, Clause
from boundmesh.runtime.clock import Clock, OutOfTime
from boundmesh.runtime.progress import SILENT
from boundmesh.search import region_search
from boundmesh.search.activation_split import ActivationSplitting
from boundmesh.search.assisting import assist
from boundmesh.search.decide import branch
from boundmesh.search.input_split import InputSplitting
from boundmesh.search.parallel.groups import ONE_GROUP, Groups, Meetings
from boundmesh.settings import BoundSettings, BranchSettings
from tests import networks
from tests.networks import DTYPE

Look = Callable[[Tensor], object]


@dataclass(frozen=True)
class Asked:
    """Is `y₀ − y₁ ≤ bound` impossible on the box? Split `kind`: input or neurons. The network is an
    MLP of `sizes`, or one of `tests.networks`."""

    kind: str
    sizes: tuple[int, ...]
    seed: int
    radius: float
    bound: float
    batch: int = 4
    schedule: str = "gather"
    network: str = ""

    @property
    def graph(self) -> Graph:
        if self.network:
            return networks.NETWORKS[self.network](self.seed)
        return networks.mlp(*self.sizes, seed=self.seed)

    @property
    def box(self) -> BoxRegion:
        return networks.region(self.graph, self.radius, self.seed)

    @property
    def margins(self) -> Margins:
        clause = Clause((Atom((), ((0, 1.0), (1, -1.0)), self.bound),))
        return margins_of(self.graph, (clause,))

    @property
    def slack(self) -> Tensor:
        margins = self.margins
        return margins.slack(torch.ones(margins.coefficients.shape[1]), DTYPE)

    def problem(self, mesh: Mesh | None) -> Problem:
        problem = networks.problem(self.graph, self.box)
        return replace(problem, layout=self.layout(mesh))

    def layout(self, mesh: Mesh | None) -> DeviceLayout:
        if mesh is None or mesh.shape.shards == 1:
            return OneDevice(self.graph, "cpu", DTYPE)
        if self.schedule == "exchange":
            return Exchange(self.graph, mesh.shards, "cpu", DTYPE)
        return Gather(self.graph, mesh.shards, "cpu", DTYPE, replicated=0)

    def splitting(
        self, mesh: Mesh | None, look: Look, clock: Clock | None = None
    ) -> InputSplitting | ActivationSplitting:
        groups: Groups = ONE_GROUP if mesh is None else DomainGroups(mesh)
        problem, clock = self.problem(mesh), clock or Clock(60)
        clock.agree = groups.agree
        settings = BranchSettings(batch=self.batch, levels=2)
        offset = self.margins.bound + self.slack
        rest = self.margins, offset, settings, clock, look, Meetings(groups)
        if self.kind == "input":
            return InputSplitting(problem, *rest)
        bounds = intermediate_bounds(problem, by_rows=True).sharpest
        return ActivationSplitting(problem, bounds, *rest)

    def run(self, splitting: InputSplitting | ActivationSplitting) -> SearchAccount:
        if isinstance(splitting, InputSplitting):
            return splitting.run(self.box)
        return splitting.run(torch.tensor([0]), torch.tensor([-torch.inf], dtype=DTYPE))

    def holds(self, points: Tensor) -> bool:
        """Whether the clause holds at one of the points `[K, *input_shape]`."""
        y = values(self.graph, tensors(self.graph, DTYPE), points)
        scores = y[self.graph.output].flatten(1)
        return bool((scores[:, 0] - scores[:, 1] <= self.bound).any())


@cache
def mesh_of(domains: int, shards: int) -> Mesh:
    """All ranks of this test, in groups."""
    return arrange(MeshShape(shards, domains), torch.device("cpu"))


def alone(asked: Asked) -> SearchAccount:
    """The account of a search on one process."""
    return asked.run(asked.splitting(None, asked.holds))


def shared(group: Group, asked: Asked, shards: int = 1) -> tuple[SearchAccount, int]:
    """The account of a shared search, and how many domains this rank's group has bounded."""
    mesh = mesh_of(group.size // shards, shards)
    splitting = asked.splitting(mesh, asked.holds)
    return asked.run(splitting), splitting.search.visited


def parts_left(
    group: Group, asked: Asked, visits: int, shards: int = 1
) -> tuple[SearchAccount, list[Any], list[Any]]:
    """The account, this group's open domains, and its leaves, once some group has bounded so
    many."""
    mesh = mesh_of(group.size // shards, shards)
    splitting = asked.splitting(mesh, lambda points: splitting.search.visited > visits)
    whole = asked.run(splitting)
    apart = [splitting.leaves] if isinstance(splitting, ActivationSplitting) else []
    left, leaves = (
        [frontier.pop(10**9) for frontier in frontiers if len(frontier)]
        for frontiers in ([splitting.frontier], apart)
    )
    return whole, left, leaves


def limited(group: Group, asked: Asked, limits: Sequence[float]) -> SearchAccount:
    """The account of an attempt, of which every group has a limit of its own."""
    splitting = asked.splitting(mesh_of(group.size, 1), lambda points: False)
    assert isinstance(splitting, ActivationSplitting)
    margins = torch.tensor([-torch.inf], dtype=DTYPE)
    return replace(splitting.run(torch.tensor([0]), margins, limits[group.rank]))


def decided(
    group: Group, asked: Asked, shards: int = 1, patience: int = 2048
) -> tuple[bool, bool, int]:
    """Through `branch` and `assist`, as a run does: (proved, found, searches begun)."""
    mesh = mesh_of(group.size // shards, shards)
    groups, layout = DomainGroups(mesh), asked.layout(mesh)
    question = Question(asked.margins, asked.box, (0,), asked.slack, layout)
    settings = BranchSettings("input" if asked.kind == "input" else "fsb", batch=asked.batch)
    look = lambda case, points: asked.holds(points)  # noqa: E731
    chosen = BoundSettings(), settings
    with patch.multiple(region_search, LEAST_PATIENCE=patience, LONGEST_REFINEMENT=4):
        if groups.number:
            said = assist(lambda dtype: [question], *chosen, SILENT, look, groups)
            assert isinstance(said, tuple)
            return said
        clock, standing = Clock(60), Standing.at_start(question)
        clock.agree = groups.agree
        searches = branch(standing, *chosen, clock, look, groups)
        found = any(search.found for search in searches)
        return groups.broadcast_object((not standing.open.any(), found, len(searches)))


def out_of_time(group: Group, asked: Asked, seconds: Sequence[float]) -> float:
    """Seconds until the search stopped, where every group has so many seconds of its own."""
    began = time.monotonic()
    splitting = asked.splitting(
        mesh_of(group.size, 1), lambda points: False, Clock(seconds[group.rank])
    )
    try:
        with splitting.shared.meetings.ending_all():
            asked.run(splitting)
    except OutOfTime:
        return time.monotonic() - began
    return -1.0


def breaks(group: Group, asked: Asked) -> str:
    """What a rank raises when the last one meets a defect after a while."""

    def look(points: Tensor) -> bool:
        if group.rank == group.size - 1 and splitting.search.visited > 20:
            raise RuntimeError("a defect of the last rank")
        return False

    splitting = asked.splitting(mesh_of(group.size, 1), look)
    try:
        with splitting.shared.meetings.ending_all():
            asked.run(splitting)
    except Exception as error:
        return str(error)
    return ""
