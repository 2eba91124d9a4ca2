"""Rounds that the ranks of a group divide, and what each rank says of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch

from boundmesh.bounds.methods.beta import DomainBounder
from boundmesh.bounds.methods.beta_ascent import Ascent, climb
from boundmesh.bounds.methods.crown import intermediate_bounds
from boundmesh.bounds.methods.domain_bounds import BoundedDomains, DomainParameters
from boundmesh.bounds.relaxation.neurons import neurons_of
from boundmesh.mesh.runtime.domain_groups import DomainGroups
from boundmesh.mesh.runtime.group import Group
from boundmesh.mesh.runtime.join import Mesh
from boundmesh.operators.interval import Interval
from boundmesh.proof.account import SearchAccount
from boundmesh.runtime.clock import Clock
from boundmesh.search import activation_split, box_bounder
from boundmesh.search.activation_split import ActivationSplitting
from boundmesh.search.parallel.groups import Meetings
from boundmesh.search.refine import RefineEffort, refine
from tests.mesh.searches import Asked, mesh_of
from tests.networks import DTYPE


@dataclass(frozen=True)
class Worked:
    """The account of a search, the domains that this rank climbed or bounded in each round, and
    the collectives of its group."""

    whole: SearchAccount
    bounded: list[int]
    calls: Counter[str]


def alone(asked: Asked) -> Worked:
    """Search in this process."""
    return _counted(None, asked)


def worked(group: Group, asked: Asked) -> Worked:
    """Search with all ranks in one group."""
    mesh = mesh_of(1, group.size)
    before = Counter(mesh.shards.calls)
    found = _counted(mesh, asked)
    return replace(found, calls=Counter(mesh.shards.calls) - before)


def _counted(mesh: Mesh | None, asked: Asked) -> Worked:
    bounded: list[int] = []
    splitting = asked.splitting(mesh, asked.holds)
    neurons = isinstance(splitting, ActivationSplitting)
    room, name = (activation_split, "climb") if neurons else (box_bounder, "intermediate_bounds")
    real = getattr(room, name)

    def counted(*arguments, **options):
        bounded.append(len(arguments[1]) if neurons else arguments[0].region.domains)
        return real(*arguments, **options)

    with patch.object(room, name, counted):
        whole = asked.run(splitting)
    return Worked(replace(whole), bounded, Counter())


def refined(group: Group | None, asked: Asked) -> dict[str, Interval]:
    """The bounds of all start nodes after splitting, by all ranks in one group."""
    mesh = None if group is None else mesh_of(1, group.size)
    problem, meetings = asked.problem(mesh), Meetings()
    clock = Clock(60)
    if mesh is not None:
        meetings = Meetings(DomainGroups(mesh))
        clock.agree = meetings.groups.agree
    known = intermediate_bounds(problem, by_rows=True).sharpest
    return refine(problem, known, RefineEffort(3, 1000, 1e6, Ascent()), clock, 5, meetings)


def climbed(group: Group, asked: Asked, offsets: list[list[float]]) -> tuple[BoundedDomains, int]:
    """A climb of as many copies of the root as rank r has `offsets[r]`, and its sweeps."""
    problem = asked.problem(mesh_of(1, group.size))
    bounds = intermediate_bounds(problem, by_rows=True).sharpest
    neurons = neurons_of(problem.program, bounds)
    bounder = DomainBounder(
        replace(problem, layout=problem.layout.own_domains), bounds, neurons, None
    )
    offset = torch.tensor(offsets[group.rank], dtype=DTYPE)[:, None]
    rows = asked.margins.rows(torch.tensor([0]), DTYPE, torch.device("cpu"))
    rows = rows.expand(len(offset), *rows.shape[1:])
    alpha = neurons.initial.half().expand(len(offset), 1, -1)
    splits = torch.zeros(len(offset), neurons.count, dtype=torch.int8)
    start = DomainParameters(alpha, torch.zeros_like(alpha), splits)
    sweeps: list[int] = []
    found = climb(bounder, rows, offset, start, Ascent(), lambda: sweeps.append(1))
    return found, len(sweeps)
