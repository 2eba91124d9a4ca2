"""Refutes clauses of small networks in exact arithmetic, where no floating-point bound can.

A condition such as `y < b` on outputs whose minimum is b has a margin of exactly 0. Rounding hides
that however far a region is split. A network of few neurons that is linear in pieces is divided
into its pieces instead, and in each piece the conditions are linear inequalities of the inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

import numpy as np

from boundmesh.graph.graph import Graph
from boundmesh.proof.exact_network import ExactNetwork
from boundmesh.proof.standing import Standing
from boundmesh.property import Box, Property
from boundmesh.runtime.clock import Clock

# Neurons that bounds leave unstable, at most.
UNSTABLE_AT_MOST = 64
# Seconds that all clauses take together, at most.
SECONDS = 3.0
# A clause with choices takes at most so many. Its alternatives may multiply to very many.
SECONDS_WITH_CHOICES = 0.5


def settle_all(
    standings: Sequence[Standing], graph: Graph, property: Property, clock: Clock
) -> None:
    """Mark open clauses of the standings as settled where exact arithmetic refutes them.

    The result holds in real arithmetic. Nothing is tried where bounds leave so many neurons
    unstable that the pieces are too many.
    """
    deadline = monotonic() + min(SECONDS, clock.left / 4)
    for standing in standings:
        settle(standing, graph, property, clock, deadline)


def settle(
    standing: Standing, graph: Graph, property: Property, clock: Clock, deadline: float
) -> None:
    """Mark open clauses of one standing as settled, until the deadline in monotonic time."""
    if not _few_unstable(standing):
        return
    still = standing.open
    weights: dict[str, np.ndarray] = {}
    for domain, case in enumerate(standing.question.cases):
        region = property.cases[case].region
        if not isinstance(region, Box) or not still[domain].any():
            continue
        if clock.agree(monotonic() > deadline):
            return
        network = ExactNetwork.of(graph, region, weights)
        if network is None:
            return
        for clause_index in still[domain].nonzero().flatten().tolist():
            clock.check()
            clause = property.cases[case].clauses[clause_index]
            until = (
                min(deadline, monotonic() + SECONDS_WITH_CHOICES) if clause.choices else deadline
            )
            if clock.agree(network.refutes(clause, until)):
                standing.settled[domain, clause_index] = True


def suits(standings: Sequence[Standing], graph: Graph, property: Property) -> bool:
    """Return True if exact arithmetic is tried on a clause that is open, which may take seconds."""
    for standing in filter(_few_unstable, standings):
        for domain in standing.open.any(1).nonzero().flatten().tolist():
            region = property.cases[standing.question.cases[domain]].region
            if isinstance(region, Box):
                # Other regions have the same network.
                return ExactNetwork.of(graph, region) is not None
    return False


def _few_unstable(standing: Standing) -> bool:
    counted = [reached.unstable for reached in standing.reached if reached.unstable]
    return not counted or sum(some for some, _ in counted[-1].values()) <= UNSTABLE_AT_MOST
