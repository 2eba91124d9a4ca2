"""Branch and bound over the splits of neurons: the clauses of one region, decided together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from boundmesh.bab.branch import babsr, fsb
from boundmesh.bab.branch.influence import influence
from boundmesh.bab.clip import cut
from boundmesh.bab.domain import Domains, root, split
from boundmesh.bab.frontier import Frontier
from boundmesh.bab.groups import Meetings
from boundmesh.bab.search import Look, Search, give_way
from boundmesh.bab.shared import Shared
from boundmesh.bounds.affine_values import affine_values
from boundmesh.bounds.ascent import Ascent, climb
from boundmesh.bounds.beta import Bounded, DomainBounder
from boundmesh.bounds.crown import Problem
from boundmesh.bounds.margins import Margins
from boundmesh.bounds.neurons import neurons_of
from boundmesh.clock import Clock
from boundmesh.rules.operator import Interval
from boundmesh.settings import BranchSettings

LEAF_STEPS = (50, 200, 1000)


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
        meetings: Meetings | None = None,
    ) -> None:
        self.settings, self.clock, self.look = settings, clock, look
        self.neurons = neurons_of(problem.program, bounds)
        self.values = affine_values(problem, self.neurons)
        self.bounder = DomainBounder(problem, bounds, self.neurons, self.values)
        self.device, dtype = problem.layout.device, problem.layout.dtype
        self.rows, self.offset = _rows_by_clause(margins, offset, self.device, dtype)
        self.cushion = torch.finfo(dtype).eps * (1 + self.offset.abs())
        self.frontier: Frontier[Domains] = Frontier()
        self.leaves: Frontier[Domains] = Frontier()
        self.search = Search()
        self.ascent = Ascent(settings.ascent_steps, settings.alpha_rate, settings.beta_rate)
        self.batch = settings.batch or _default_batch(problem)
        meetings = meetings or Meetings()
        self.groups, self.shared = meetings.groups, Shared(self, meetings)

    def run(self, clauses: Tensor, margins: Tensor, limit: float = float("inf")) -> Search:
        """Refute `clauses` `[C]`, whose margins so far are `margins`; raises OutOfTime.

        Stops with domains open once `limit` of them have been bounded.
        """
        if self.shared.begins:
            where, known = clauses.to(self.device), margins.to(self.device)
            first = root(self.neurons, where, known, self.atoms, self.bounder.root_box)
            self._bound(first, replace(self.ascent, iterations=2 * self.ascent.iterations))
        return self.go_on(limit)

    def go_on(self, limit: float = float("inf")) -> Search:
        """Work on the frontier until it is empty, or `limit` domains have been bounded in all; then
        on the leaves."""
        while self.shared.goes_on(self.frontier, limit):
            parents = self.frontier.pop(self.batch)
            with give_way(self, parents):
                children = self._branch(parents.to(self.device))
                if children is not None:
                    self._bound(children, self.ascent)
        if not self.shared.whole.open:
            while self.shared.goes_on(self.leaves):
                self._exhaust(self.leaves.pop(self.batch).to(self.device))
        return self.shared.whole

    @property
    def atoms(self) -> int:
        return self.rows.shape[1]

    def _branch(self, parents: Domains) -> Domains | None:
        """The children of the batch; more levels at once while the frontier is small."""
        with torch.no_grad():
            bounded = self._quick(parents)
            parents, bounded = self._clip(parents, bounded)
            loss = self._scores(parents, bounded)
        able = (loss > -torch.inf).sum(1)
        stuck = able == 0
        if bool(stuck.any()):
            self.leaves.push(parents.take(stuck))
        parents, loss, bounded = parents.take(~stuck), loss[~stuck], bounded.take(~stuck)
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
            return split(parents, torch.topk(loss, levels, dim=1).indices, bounded.coefficients)
        if self.settings.branching == "babsr":
            return split(parents, loss.argmax(1, keepdim=True), bounded.coefficients)
        quick = lambda domains: self._quick(domains).margin  # noqa: E731
        with torch.no_grad():
            chosen = fsb.choose(parents, bounded, loss, self.settings.tries, quick)
        return split(parents, chosen[:, None], bounded.coefficients)

    def _clip(self, domains: Domains, bounded: Bounded) -> tuple[Domains, Bounded]:
        """The domains cut to where a counterexample can be; those where none can be are gone."""
        if self.values is None:
            return domains, bounded
        # All that is known of the points left out is that their margin exceeds the cushion.
        self.search.proved = min(self.search.proved, float(self.cushion.min()))
        return cut(domains, bounded, self.bounder, self.cushion[domains.clause])

    def _scores(self, domains: Domains, bounded: Bounded) -> Tensor:
        """What a split of each neuron could gain, `[D, N]`; −inf where it cannot be split."""
        loss = babsr.scores(self.neurons, domains, bounded, self.bounder.box(domains.parameters))
        if self.values is None or domains.box is None:
            return loss
        factor = influence(self.values, domains.box, self.neurons.count)
        return torch.where(loss > -torch.inf, loss * factor, loss)

    def _exhaust(self, leaves: Domains) -> None:
        """Leaves without a neuron to split are linear programs, of which β-CROWN is the dual:
        climb until it is solved, as far as that goes."""
        for steps in LEAF_STEPS:
            found = self._climb(
                leaves, replace(self.ascent, iterations=steps, decay=0.01 ** (1 / steps))
            )
            leaves = self._keep(leaves, found)
            if not len(leaves):
                return
        self.search.give_up(leaves.margin)

    def _quick(self, domains: Domains) -> Bounded:
        rows, offset = self.rows[domains.clause], self.offset[domains.clause]
        return self.bounder.bound(rows, offset, domains.parameters)

    def _climb(self, domains: Domains, ascent: Ascent) -> Bounded:
        rows, offset = self.rows[domains.clause], self.offset[domains.clause]
        return climb(self.bounder, rows, offset, domains.parameters, ascent, self.clock.check)

    def _bound(self, domains: Domains, ascent: Ascent) -> None:
        found = self._climb(domains, ascent)
        self.search.visited += len(domains)
        self.search.depth = max(self.search.depth, domains.depth)
        self.frontier.push(self._keep(domains, found))

    def _keep(self, domains: Domains, found: Bounded) -> Domains:
        """The domains that are still open, with what was found for them; NaN stays open."""
        domains = domains.improved(found)
        still = self.search.count(domains.margin)
        self._look_at(found, still)
        return domains.take(still)

    def _look_at(self, found: Bounded, still: Tensor) -> None:
        """The corner where an open domain's bound is attained may be a counterexample."""
        rows = found.at_input
        if rows.dim() < 3 or not bool(still.any()):
            return
        worst = torch.topk(
            torch.where(still, found.margin, torch.inf), min(8, len(still)), largest=False
        ).indices
        region = self.bounder.region(found.parameters.take(worst))
        corners = region.minimizer(rows[worst, 0].unsqueeze(1)).squeeze(1)
        self.search.found = self.search.found or self.look(corners)


def _rows_by_clause(
    margins: Margins, offset: Tensor, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Rows `[C, S, *output_shape]` and offsets `[C, S]`; short clauses repeat their first atom."""
    table = margins.table
    rows = margins.rows(table.flatten(), dtype, device)[0]
    return rows.reshape(*table.shape, *rows.shape[1:]), offset[table].to(device, dtype)


def _default_batch(problem: Problem) -> int:
    widest = problem.program.widest(problem.program.target)
    elements = 2**26 if problem.layout.device.type == "cuda" else 2**18
    return max(16, min(8192, elements // widest))
