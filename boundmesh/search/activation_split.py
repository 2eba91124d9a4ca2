"""Decides the clauses of one region together, by branch and bound over the splits of neurons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from boundmesh.bounds.clipping.affine_values import affine_values
from boundmesh.bounds.methods.beta import DomainBounder
from boundmesh.bounds.methods.beta_ascent import Ascent, climb
from boundmesh.bounds.methods.domain_bounds import BoundedDomains
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.cuts import cut_values
from boundmesh.bounds.relaxation.neurons import neurons_of
from boundmesh.bounds.sweep.program import Program
from boundmesh.operators.interval import Interval
from boundmesh.proof.account import SearchAccount
from boundmesh.proof.margins import Margins
from boundmesh.runtime.clock import Clock
from boundmesh.search.branching.splits import Splits
from boundmesh.search.clause_rows import deviation, rows_by_clause
from boundmesh.search.clip import clipped, empty
from boundmesh.search.domain import Domains, root
from boundmesh.search.float64_bounds import Precise
from boundmesh.search.frontier import Frontier
from boundmesh.search.parallel.division import Corners, Division, Outcome, active, divided
from boundmesh.search.parallel.groups import Meetings
from boundmesh.search.parallel.shared import Shared
from boundmesh.search.searcher import Look, give_way
from boundmesh.settings import BranchSettings

LEAF_STEPS = (50, 200, 1000)
"""The gradient steps of the ascents on a leaf, one ascent after the other until it is refuted."""


class ActivationSplitting:
    """Branch and bound on one region for the clauses that are open there.

    problem   the network, the region and the layout
    bounds    the bounds of the start nodes on the region
    margins   all clauses of the question as S rows of the output
    offset    `[S]`, float64: the number that the lower bound of each row must exceed
    settings  the options of branch and bound
    clock     raises OutOfTime at the deadline
    look      replays points
    meetings  the meetings with the other groups; None means that there are none
    """

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
        self.clock, self.look = clock, look
        neurons = neurons_of(problem.program, bounds, problem.region.interval.lower)
        divisible = replace(problem, layout=problem.layout.own_domains)
        values = affine_values(problem, bounds, neurons)
        cuttable = cut_values(problem.program, bounds)
        self.bounder = DomainBounder(divisible, bounds, neurons, values, cuttable)
        self.device, dtype = problem.layout.device, problem.layout.dtype
        exact_offset = offset + deviation(problem, bounds, margins, torch.float64)
        offset = offset + deviation(problem, bounds, margins, dtype)
        self.rows, self.offset = rows_by_clause(margins, offset, self.device, dtype)
        self.cushion = torch.finfo(dtype).eps * (1 + self.offset.abs())
        self.frontier: Frontier[Domains] = Frontier()
        self.leaves: Frontier[Domains] = Frontier()
        self.search = SearchAccount()
        self.ascent = Ascent(settings.ascent_steps, settings.alpha_rate, settings.beta_rate)
        meetings = meetings or Meetings()
        self.groups, self.shared = meetings.groups, Shared(self, meetings)
        self.division = Division(self.groups)
        self.precise = Precise(self.bounder, margins, exact_offset, self.division)
        self.batch = (
            settings.batch
            or default_batch(problem.program, gpu=problem.layout.device.type == "cuda")
        ) * self.groups.ranks
        self.splits = Splits(self.bounder, settings, self.division, self.batch, self._quick)

    @torch.no_grad()
    def may_close(self, clauses: Tensor, margins: Tensor) -> bool:
        """Return True if one round of splits may refute `clauses` `[C]` with these margins `[C]`.

        This is so where the scores of the best `levels` splits add up to what each margin lacks.
        """
        domains = self._roots(clauses, margins)
        score = self.splits.scores(domains, self._quick(domains)).score.clamp(min=0)
        best = score.topk(min(self.splits.settings.levels, score.shape[1]), 1).values
        return bool((best.sum(1).double() >= -domains.margin).all())

    def _roots(self, clauses: Tensor, margins: Tensor) -> Domains:
        where, known = clauses.to(self.device), margins.to(self.device)
        bounder = self.bounder
        return root(bounder.neurons, where, known, self.atoms, bounder.root_box, bounder.slots)

    def run(self, clauses: Tensor, margins: Tensor, limit: float = float("inf")) -> SearchAccount:
        """Search until `clauses` `[C]`, whose margins so far are `margins` `[C]`, are refuted.

        The search stops with open domains once `limit` domains have been bounded. Raises OutOfTime.
        """
        if self.shared.begins:
            first = self._roots(clauses, margins)
            longer = replace(self.ascent, iterations=2 * self.ascent.iterations)
            divided(self, first, lambda share: self._bound(share, longer, Outcome()))
        return self.go_on(limit)

    def go_on(self, limit: float = float("inf")) -> SearchAccount:
        """Work on the frontier, then on the leaves.

        The frontier is left once it is empty, or once `limit` domains have been bounded in all.
        """
        while self.shared.goes_on(self.frontier, limit):
            parents = self.frontier.pop(self.batch)
            with give_way(self, parents):
                for stuck in divided(self, parents, self._split):
                    self.leaves.push(stuck)
        if not self.shared.whole.open:
            while self.shared.goes_on(self.leaves):
                divided(self, self.leaves.pop(self.batch), self._exhaust)
        return self.shared.whole

    @property
    def atoms(self) -> int:
        return self.rows.shape[1]

    def _split(self, parents: Domains) -> Outcome[Domains]:
        """Split this rank's share of a batch, and bound the children."""
        outcome = Outcome[Domains]()
        children = self._branch(parents, outcome)
        return outcome if children is None else self._bound(children, self.ascent, outcome)

    def _branch(self, parents: Domains, outcome: Outcome[Domains]) -> Domains | None:
        """Return the children of the parents; a parent without a neuron to split becomes a leaf."""
        with torch.no_grad():
            bounded = self._quick(parents)
            parents, bounded = self._clip(parents, bounded, outcome)
            gains = self.splits.scores(parents, bounded)
        stuck = ~(gains.score > -torch.inf).any(1)
        if bool(stuck.any()):
            outcome.leaves.append(parents.take(stuck & active(parents)))
        parents, left = self.division.going_on(parents, ~stuck)
        return self.splits.children(parents.take(left), bounded.take(left), gains.take(left))

    def _clip(
        self, domains: Domains, bounded: BoundedDomains, outcome: Outcome[Domains]
    ) -> tuple[Domains, BoundedDomains]:
        """Cut the domains to where a counterexample can be, and drop those where none can be."""
        if self.bounder.values is None:
            return domains, bounded
        # For the points that are cut off, no more is known than that their margin exceeds the
        # cushion.
        account = outcome.account
        account.proved = min(account.proved, float(self.cushion.min()))
        domains = clipped(domains, bounded, self.bounder, self.cushion[domains.clause])
        domains, left = self.division.going_on(domains, ~empty(domains))
        return domains.take(left), bounded.take(left)

    def _exhaust(self, leaves: Domains) -> Outcome[Domains]:
        """Optimise α and β of leaves, which have no neuron left to split.

        A leaf is a linear program, and β-CROWN is its dual. The ascent goes on until the dual is
        solved, as far as possible.
        """
        outcome = Outcome[Domains]()
        for steps in LEAF_STEPS:
            ascent = replace(self.ascent, iterations=steps, decay=0.01 ** (1 / steps))
            leaves, still = self._keep(leaves, self._climb(leaves, ascent), outcome)
            if not any(self.division.all_gather_objects(bool(still.any()))):
                return outcome
            leaves, left = self.division.going_on(leaves, still)
            leaves = leaves.take(left)
        outcome.account.give_up(leaves.margin[active(leaves)])
        return outcome

    def _quick(self, domains: Domains) -> BoundedDomains:
        rows, offset = self.rows[domains.clause], self.offset[domains.clause]
        return self.bounder.bound(rows, offset, domains.parameters)

    def _climb(self, domains: Domains, ascent: Ascent) -> BoundedDomains:
        rows, offset = self.rows[domains.clause], self.offset[domains.clause]
        return climb(self.bounder, rows, offset, domains.parameters, ascent, self.clock.check)

    def _bound(
        self, domains: Domains, ascent: Ascent, outcome: Outcome[Domains]
    ) -> Outcome[Domains]:
        outcome.account.visited += int(active(domains).sum())
        outcome.account.depth = max(outcome.account.depth, domains.depth)
        domains, still = self._keep(domains, self._climb(domains, ascent), outcome)
        outcome.open.append(domains.take(still))
        return outcome

    def _keep(
        self, domains: Domains, bounded: BoundedDomains, outcome: Outcome[Domains]
    ) -> tuple[Domains, Tensor]:
        """Return the domains improved by `bounded`, and the mask of those that are still open.

        A domain with margin NaN stays open. The domains are counted in `outcome`, and points where
        the worst bounds are attained are added to it.
        """
        bounded = self.precise.bound(domains, bounded)
        domains = domains.improved(bounded)
        still = outcome.account.count(domains.margin)
        if (corners := self._corners(bounded, still)) is not None:
            outcome.corners.append(corners)
        return domains, still

    def _corners(self, bounded: BoundedDomains, still: Tensor) -> Corners | None:
        """Return the points where the bounds of the worst open domains are attained.

        Each may be a counterexample.
        """
        rows = bounded.at_input
        if rows.dim() < 3 or not bool(still.any()):
            return None
        margins = torch.where(still, bounded.margin, torch.inf)
        worst = torch.topk(margins, min(8, len(still)), largest=False).indices
        region = self.bounder.region(bounded.parameters.take(worst))
        points = region.minimizer(rows[worst, 0].unsqueeze(1)).squeeze(1)
        return Corners(margins[worst], points)


def default_batch(program: Program, *, gpu: bool) -> int:
    """Return how many domains a rank bounds at a time, unless the settings say."""
    elements = 2**26 if gpu else 2**18
    return max(16, min(8192, elements // program.widest(program.target)))
