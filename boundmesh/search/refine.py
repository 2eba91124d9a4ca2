"""Sharpens the bounds of the start nodes by a small search for each unstable neuron.

A clause that needs millions of splits often needs few once the neurons that it depends on are
bounded better. Both rows of every unstable neuron (its lower and its upper bound) are split a few
levels deep with β-CROWN. The worst bound of the parts is a bound of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boundmesh.bounds.clipping.affine_values import affine_values
from boundmesh.bounds.methods.beta import DomainBounder
from boundmesh.bounds.methods.beta_ascent import Ascent, climb
from boundmesh.bounds.methods.crown import intersect, unstable_neurons
from boundmesh.bounds.methods.domain_bounds import BoundedDomains
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.lines import at
from boundmesh.bounds.relaxation.neurons import Neurons, neurons_of
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.rows import both_sides, ends, of_both_sides
from boundmesh.operators.interval import Interval
from boundmesh.runtime.clock import Clock
from boundmesh.search.batches import join
from boundmesh.search.branching import babsr
from boundmesh.search.clip import cut_domains
from boundmesh.search.domain import Domains, root, split
from boundmesh.search.parallel.division import Division
from boundmesh.search.parallel.groups import Meetings

CPU = torch.device("cpu")
# The rows of a start node are dense. A node whose rows hold more numbers than this is not refined.
MOST_NUMBERS = 2**28


@dataclass(frozen=True)
class RefineEffort:
    """How much work a refinement may do.

    levels   how many levels deep each row is split
    domains  the most domains of one start node
    seconds  the seconds for all start nodes
    ascent   how α and β are optimised in each domain
    """

    levels: int
    domains: int
    seconds: float
    ascent: Ascent


def refine(
    problem: Problem,
    bounds: Mapping[str, Interval],
    effort: RefineEffort,
    clock: Clock,
    batch: int,
    meetings: Meetings,
) -> dict[str, Interval]:
    """Return the bounds of the start nodes (D = 1), intersected with those that splitting proves.

    Every group works on its share of a start node's neurons. Then the groups exchange the bounds,
    so that all go on with the same ones. Each start node gets an equal share of the time left.
    """
    sharper = dict(bounds)
    end, starts = clock.spent + effort.seconds, problem.program.starts
    for place, start in enumerate(starts):
        until = clock.spent + (end - clock.spent) / (len(starts) - place)
        below = Program(problem.program.graph, start)
        size = problem.program.graph[start].size
        # The groups decide this jointly, since their clocks differ.
        if any(meetings.exchange(not below.nonlinear or clock.spent > end)):
            continue
        index = unstable_neurons(problem.program, start, sharper)
        neurons = neurons_of(below, sharper)
        if not len(index) or not neurons.count or 2 * len(index) * size > MOST_NUMBERS:
            continue
        task, own_index = replace(problem, program=below), meetings.own_part(index)
        known = sharper[start]
        if len(own_index):
            division = Division(meetings.groups)
            search = _Rows(task, sharper, neurons, own_index, effort, clock, division, batch, until)
            known = intersect(known, own_index, *ends(search.run().unsqueeze(0)))
        boxes, device = meetings.exchange(known.to(CPU)), known.lower.device
        lower = torch.stack([box.lower for box in boxes]).amax(0)
        upper = torch.stack([box.upper for box in boxes]).amin(0)
        sharper[start] = Interval(lower, upper).to(device)
    return sharper


class _Rows:
    """The search for better bounds of R rows of one start node.

    A domain's `clause` is the number of its row. A row is decided once it is nowhere negative, so
    domains are clipped to where it can be negative. At the points that are cut off the row is at
    least 0, and no more is known.
    """

    def __init__(
        self,
        problem: Problem,
        bounds: Mapping[str, Interval],
        neurons: Neurons,
        index: Tensor,
        effort: RefineEffort,
        clock: Clock,
        division: Division,
        batch: int,
        until: float,
    ) -> None:
        node = problem.program.graph[problem.program.target]
        self.rows = both_sides(index, problem.layout.dtype).dense(node)[0].unsqueeze(1)
        self.values = affine_values(problem, bounds, neurons)
        divisible = replace(problem, layout=problem.layout.own_domains)
        self.bounder = DomainBounder(divisible, bounds, neurons, self.values)
        self.neurons, self.effort, self.clock = neurons, effort, clock
        box = at(bounds[problem.program.target], index)
        self.known = of_both_sides(box.lower, box.upper)[0].double()
        self.cushion = torch.finfo(self.rows.dtype).eps * (1 + self.known.abs())[:, None]
        self.division, self.batch, self.until = division, batch, until
        self.count = len(self.rows)

    def run(self) -> Tensor:
        """Return lower bounds `[R]` of all rows."""
        device = self.rows.device
        rows = torch.arange(self.count, device=device)
        closed = torch.full((self.count,), torch.inf, dtype=torch.float64, device=device)
        domains = root(self.neurons, rows, self.known, 1, self.bounder.root_box)
        domains = self._climb(domains)
        first = torch.empty_like(domains.margin)
        first[domains.clause] = domains.margin
        for _ in range(self.effort.levels):
            still = domains.take(~(domains.margin > 0))
            done = domains.take(domains.margin > 0)
            closed = closed.scatter_reduce(0, done.clause, done.margin, "amin")
            domains = still
            if not len(still) or 2 * len(still) > self.effort.domains:
                break
            domains = self._halve(still)
        lowest = closed.scatter_reduce(0, domains.clause, domains.margin, "amin")
        if self.values is not None:
            lowest = lowest.clamp(max=0)
        return torch.maximum(lowest, first).to(self.rows.dtype)

    def _halve(self, domains: Domains) -> Domains:
        """Split every domain by its best neuron, and optimise the children.

        A domain without a neuron to split stays as it is.
        """
        parts = [domains.take(torch.arange(0))]
        for part in self._batches(domains):
            if self.clock.spent > self.until:
                parts.append(part)
                continue
            children, stuck = self._split(self.division.share(part))
            parts.append(self._climb(self.division.gathered(children)))
            parts.append(self.division.gathered(stuck))
        return join(parts)

    def _split(self, domains: Domains) -> tuple[Domains, Domains]:
        """Return both halves of each domain, by its best neuron, and the domains without one."""
        with torch.no_grad():
            bounded = self._quick(domains)
            cushion = self.cushion[domains.clause].to(bounded.constants)
            domains, bounded = cut_domains(domains, bounded, self.bounder, cushion)
        box = self.bounder.box(bounded.parameters)
        score, place = babsr.scores(self.neurons, domains, bounded, box).max(1)
        splittable = score > -torch.inf
        children = domains.take(splittable)
        if len(children):
            children = split(
                children,
                place[splittable, None],
                bounded.coefficients[splittable],
                self.neurons.concave,
            )
        return children, domains.take(~splittable)

    def _climb(self, domains: Domains) -> Domains:
        """Improve the margins of domains by steps of α and β; the order may change."""
        parts = [domains.take(torch.arange(0))]
        for part in self._batches(domains):
            if self.clock.spent > self.until:
                parts.append(part)
                continue
            share = self.division.share(part)
            rows = self.rows[share.clause]
            offset = rows.new_zeros(len(rows), 1)
            start, ascent = share.parameters, self.effort.ascent
            bounded = climb(self.bounder, rows, offset, start, ascent, self.clock.check)
            parts.append(self.division.gathered(share.improved(bounded)))
        return join(parts)

    def _batches(self, domains: Domains) -> Iterator[Domains]:
        for first in range(0, len(domains), self.batch):
            yield domains.take(torch.arange(first, min(first + self.batch, len(domains))))

    def _quick(self, domains: Domains) -> BoundedDomains:
        rows = self.rows[domains.clause]
        return self.bounder.bound(rows, rows.new_zeros(len(rows), 1), domains.parameters)
