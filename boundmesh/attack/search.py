"""Projected gradient descent in one case, on its own clauses (arXiv 1706.06083)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.attack.objective import Objective
from boundmesh.attack.replay import Replay, representable
from boundmesh.attack.space import Space, space_of
from boundmesh.graph.forward import forward
from boundmesh.graph.graph import Graph
from boundmesh.property import Property
from boundmesh.verdict import Counterexample

# Values held for one backward pass, in elements: larger batches are cut.
ELEMENTS = 2**26
# Of the starts, this share is driven apart first.
DIVERSE = 2 / 3
DIVERSE_STEPS = 2
# Step lengths, as shares of the region: each restart's first is drawn from a range.
FIRST_STEP = 0.02, 0.5
FIRST_STEP_NEARBY = 0.002, 0.2
LAST_STEP = 0.001
# How many of the best points so far are searched around, and how far from them.
ELITE = 20
NEARBY = 0.01, 0.2
MOMENTUM = 0.8
TINY = 1e-30


@dataclass
class Descent:
    """Descents in one case, towards some of its clauses; what they find counts after `replay`.

    `batch` is how many points fit into one descent.
    """

    graph: Graph
    weights: Mapping[str, Tensor]
    property: Property
    case: int
    replay: Replay
    clauses: Sequence[int]

    def __post_init__(self) -> None:
        case = self.property.cases[self.case]
        example = next(iter(self.weights.values()), torch.empty(0))
        self.dtype, self.device = example.dtype, example.device
        self.space: Space = space_of(case.region, self.dtype, self.device)
        chosen = [case.clauses[place] for place in self.clauses]
        self.objective = Objective(chosen, self.dtype, self.device)
        held = sum(node.size for node in self.graph.nodes) + self.objective.width
        self.batch = max(1, ELEMENTS // held)
        inputs = self.graph[self.graph.input].size
        self.elite = torch.empty(0, inputs, dtype=self.dtype, device=self.device)
        self._elite_excess = torch.empty(0, dtype=self.dtype, device=self.device)

    def restart(
        self, count: int, steps: int, generator: torch.Generator
    ) -> Iterator[Counterexample | None]:
        """Descend from `count` new starts; after every step, what was found."""
        return self.descend(self.starts(count, generator), steps, generator)

    def search_nearby(
        self, count: int, steps: int, generator: torch.Generator
    ) -> Iterator[Counterexample | None]:
        """Descend from `count` points around the best ones so far, in shorter steps."""
        chosen = self.elite[torch.arange(count) % len(self.elite)]
        away = self._between(NEARBY, count, generator) * self.space.random_step(count, generator)
        x = self.space.project(chosen + away)
        return self.descend(x, steps, generator, FIRST_STEP_NEARBY)

    def descend(
        self,
        x: Tensor,
        steps: int,
        generator: torch.Generator,
        lengths: tuple[float, float] = FIRST_STEP,
    ) -> Iterator[Counterexample | None]:
        """Descend from the points x `[N, inputs]` together; after every step, what was found."""
        target: Tensor | None = None
        best, least = x, x.new_full((len(x),), torch.inf)
        length = self._between(lengths, len(x), generator)
        decay = (LAST_STEP / length) ** (1 / max(1, steps - 1))
        momentum = torch.zeros_like(x)
        for _ in range(steps):
            x = x.detach().requires_grad_(True)
            with torch.enable_grad():
                excess = self.objective.excess(x, self.output(x))
                if target is None:
                    target = self.targets(excess.detach())
                gradient = slope(self.objective.loss(excess, target).sum(), x)
            x, excess = x.detach(), excess.detach()
            yield self.confirm(x, excess)
            with torch.no_grad():
                nearest = self.objective.worst(excess).amin(1)
                better = nearest < least
                best = torch.where(better[:, None], x, best)
                least = torch.where(better, nearest, least)
                gradient = gradient.nan_to_num(0, 0, 0)
                unit = gradient / gradient.norm(dim=1, keepdim=True).clamp(min=TINY)
                momentum = MOMENTUM * momentum + unit
                # Two kinds of descent, since each finds what the other one misses.
                direction = self.space.steepest(momentum)
                direction[::2] = self.space.along(gradient[::2])
                x = self.space.project(x - length * direction)
                length = length * decay
        with torch.no_grad():
            yield self.confirm(x, self.objective.excess(x, self.output(x)))
            points, excesses = torch.cat([self.elite, best]), torch.cat([self._elite_excess, least])
            order = excesses.argsort()[:ELITE]
            self.elite, self._elite_excess = points[order], excesses[order]

    def _between(self, ends: tuple[float, float], count: int, generator: torch.Generator) -> Tensor:
        """Numbers `[count, 1]` drawn between two ends, evenly in their logarithm."""
        first, last = (math.log(end) for end in ends)
        drawn = torch.rand(count, 1, generator=generator, dtype=self.dtype)
        return torch.exp(first + (last - first) * drawn).to(self.device)

    def starts(self, count: int, generator: torch.Generator) -> Tensor:
        """The centre, random points, and points driven apart by the network's own outputs.

        The last ascend random functions of the outputs (ODI, arXiv 2003.06878), so that descents
        do not all end in the same minimum.
        """
        x = self.space.random(count, generator)
        x[:1] = self.space.center
        diverse = x[count - int(DIVERSE * count) :]
        if not len(diverse):
            return x
        outputs = self.graph[self.graph.output].size
        wanted = torch.rand(len(diverse), outputs, generator=generator, dtype=self.dtype) * 2 - 1
        wanted = wanted.to(self.device)
        for _ in range(DIVERSE_STEPS):
            diverse = diverse.detach().requires_grad_(True)
            with torch.enable_grad():
                score = (wanted * self.output(diverse).flatten(1)).sum()
                gradient = slope(score, diverse)
            with torch.no_grad():
                gradient = gradient.nan_to_num(0, 0, 0)
                diverse = self.space.project(diverse + self.space.steepest(gradient) / 2)
        return torch.cat([x[: count - len(diverse)], diverse])

    def output(self, x: Tensor) -> Tensor:
        """The network's output `[N, *shape]` at flat points."""
        return forward(self.graph, self.weights, x.reshape(-1, *self.graph[self.graph.input].shape))

    def targets(self, excess: Tensor) -> Tensor:
        """The clause each point is to satisfy: for half of them the nearest one, while the rest
        take turns, the clauses nearest to any point first."""
        worst = self.objective.worst(excess)
        turns = worst.amin(0).argsort()
        place = torch.arange(len(worst), device=worst.device)
        return torch.where(place % 4 < 2, worst.argmin(1), turns[place % len(turns)])

    def confirm(self, x: Tensor, excess: Tensor) -> Counterexample | None:
        """Replay the most promising point if it seems to satisfy a clause."""
        nearest = self.objective.worst(excess).amin(1)
        best = int(nearest.argmin())
        if not nearest[best] <= self.objective.beyond:
            return None
        region = self.property.cases[self.case].region
        point = representable(region, x[best].double().cpu().numpy(), self.graph.inputs)
        found = self.replay(self.property, self.case, point)
        if found is None and nearest[best] <= 0:
            # Rounding undid it: from here on descend farther.
            self.objective.beyond *= 2
        return found


def slope(value: Tensor, x: Tensor) -> Tensor:
    """The gradient of a number to x; zero where it does not depend on x."""
    if not value.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(value, x, allow_unused=True, materialize_grads=True)
    return gradient
