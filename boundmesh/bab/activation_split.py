"""Branch and bound over the splits of neurons: the clauses of one region, decided together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from boundmesh.bab.branch import babsr, fsb
from boundmesh.bab.domain import Domains, neurons_of, root, split
from boundmesh.bab.frontier import Frontier
from boundmesh.bab.search import Look, Search, give_way
from boundmesh.bounds.beta import Ascent, Bounded, DomainBounder, Parameters
from boundmesh.bounds.crown import Problem
from boundmesh.bounds.margins import Margins
from boundmesh.clock import Clock
from boundmesh.rules.operator import Interval
from boundmesh.settings import BranchSettings


class ActivationSplitting:
    """Branch and bound on one region for the clauses that are open there."""

    def __init__(
        self,
        problem: Problem,
        bounds: Mapping[str, Interval],
        margins: Margins,
        offset: Tensor,
        settings: BranchSettings,
        clock: Clock,
        look: Look,
    ) -> None:
        self.settings, self.clock, self.look = settings, clock, look
        self.neurons = neurons_of(problem.program, bounds)
        self.bounder = DomainBounder(problem, bounds, self.neurons.undecided, self.neurons.places)
        self.device, dtype = problem.layout.device, problem.layout.dtype
        self.rows, self.offset = _rows_by_clause(margins, offset, self.device, dtype)
        self.frontier: Frontier[Domains] = Frontier()
        self.ascent = Ascent(settings.ascent_steps, settings.alpha_rate, settings.beta_rate)
        self.batch = settings.batch or _default_batch(problem)

    def run(self, clauses: Tensor, margins: Tensor) -> Search:
        """Refute `clauses` `[C]`, whose margins so far are `margins`; raises OutOfTime."""
        self.search = Search(float(margins.min()))
        first = root(self.neurons, clauses.to(self.device), margins.to(self.device), self.atoms)
        self._bound(first, replace(self.ascent, iterations=2 * self.ascent.iterations))
        while len(self.frontier) and not self.search.found:
            self.clock.check()
            parents = self.frontier.pop(self.batch)
            with give_way(self, parents):
                children = self._branch(parents.to(self.device))
                if children is not None:
                    self._bound(children, self.ascent)
            self.search.tell(self.frontier, self.clock.progress)
        return self.search

    @property
    def atoms(self) -> int:
        return self.rows.shape[1]

    def _branch(self, parents: Domains) -> Domains | None:
        """The children of the batch; more levels at once while the frontier is small."""
        with torch.no_grad():
            bounded = self._quick(parents)
        loss = babsr.scores(self.neurons, parents, bounded)
        able = (loss > -torch.inf).sum(1)
        stuck = able == 0
        self.search.stuck += int(stuck.sum())
        parents, loss = parents.take(~stuck), loss[~stuck]
        if not len(parents):
            return None
        levels = 1
        while (
            len(parents) << (levels + 1) <= self.batch
            and levels < self.settings.levels
            and int(able[~stuck].min()) > levels
        ):
            levels += 1
        if levels > 1:
            return split(parents, torch.topk(loss, levels, dim=1).indices)
        quick = lambda domains: self._quick(domains).margin  # noqa: E731
        with torch.no_grad():
            chosen = fsb.choose(self.neurons, parents, loss, self.settings.tries, quick)
        return split(parents, chosen[:, None])

    def _quick(self, domains: Domains) -> Bounded:
        parameters = Parameters(domains.alpha.float(), domains.beta.float(), domains.splits)
        return self.bounder.bound(
            self.rows[domains.clause], self.offset[domains.clause], parameters
        )

    def _bound(self, domains: Domains, ascent: Ascent) -> None:
        start = Parameters(domains.alpha, domains.beta, domains.splits)
        found = self.bounder.climb(
            self.rows[domains.clause], self.offset[domains.clause], start, ascent, self.clock.check
        )
        margin = torch.maximum(found.margin.double(), domains.margin)
        self.search.visited += len(domains)
        still = ~(margin > 0)
        bounded = Domains(
            margin,
            domains.clause,
            domains.splits,
            found.parameters.alpha.half(),
            found.parameters.beta.half(),
        ).take(still)
        self.frontier.push(bounded)
        self.search.depth = max(self.search.depth, domains.depth)
        self._look_at(found, still)

    def _look_at(self, found: Bounded, still: Tensor) -> None:
        """The corner where an open domain's bound is attained may be a counterexample."""
        rows = found.at_input
        if rows.dim() < 3 or not bool(still.any()):
            return
        worst = torch.topk(
            torch.where(still, found.margin, torch.inf), min(8, len(still)), largest=False
        ).indices
        region = self.bounder.problem.region
        corners = region.minimizer(rows[worst, 0].unsqueeze(1)).squeeze(1)
        self.search.found = self.search.found or self.look(corners)


def _rows_by_clause(
    margins: Margins, offset: Tensor, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Rows `[C, S, *output_shape]` and offsets `[C, S]`; short clauses repeat their first atom."""
    most = max(map(len, margins.members))
    table = torch.tensor([[*rows, *[rows[0]] * (most - len(rows))] for rows in margins.members])
    rows = margins.rows(table.flatten(), dtype, device)[0]
    return rows.reshape(*table.shape, *rows.shape[1:]), offset[table].to(device, dtype)


def _default_batch(problem: Problem) -> int:
    widest = problem.program.widest(problem.program.target)
    elements = 2**26 if problem.layout.device.type == "cuda" else 2**18
    return max(16, min(4096, elements // widest))
