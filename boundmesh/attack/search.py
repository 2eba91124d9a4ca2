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

# The most elements held for one backward pass. Larger batches are divided.
ELEMENTS = 2**26
# This share of the starts is driven apart first.
DIVERSE = 2 / 3
DIVERSE_STEPS = 2
# Step lengths, as shares of the region. The first one of each restart is drawn from a range.
FIRST_STEP = 0.02, 0.5
FIRST_STEP_NEARBY = 0.002, 0.2
LAST_STEP = 0.001
# The number of best points whose neighbourhood is searched, and how far from them.
ELITE = 20
NEARBY = 0.01, 0.2
MOMENTUM = 0.8
TINY = 1e-30


@dataclass
class Descent:
    """Descents in one case, towards some of its clauses.

    graph     the network
    weights   its weights, as tensors by name
    property  the property
    case      the place of the case in the property
    replay    confirms points in ONNX Runtime; only confirmed points count
    clauses   the places of the clauses to satisfy

    `batch` is the number of points that fit into one descent.
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
        """Descend from `count` new starts; yield the counterexample or None after every step."""
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
        """Descend from the points x `[N, inputs]` at once.

        Yields the counterexample that was found, or None, after every step.
        """
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
                # Two kinds of descent are used, since each finds points that the other one misses.
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
        """Draw numbers `[count, 1]` between two ends, evenly in their logarithm."""
        first, last = (math.log(end) for end in ends)
        drawn = torch.rand(count, 1, generator=generator, dtype=self.dtype)
        return torch.exp(first + (last - first) * drawn).to(self.device)

    def starts(self, count: int, generator: torch.Generator) -> Tensor:
        """Make starts: the centre, random points, and points driven apart by the network's outputs.

        Points of the last kind ascend random functions of the outputs (ODI, arXiv 2003.06878), so
        that descents do not all end in the same minimum.
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
        """Compute the network's output `[N, *shape]` at flat points `[N, inputs]`."""
        return forward(self.graph, self.weights, x.reshape(-1, *self.graph[self.graph.input].shape))

    def targets(self, excess: Tensor) -> Tensor:
        """Choose the clause that each point descends towards, `[N]`.

        For half of the points it is the nearest clause. The rest are dealt out over all clauses,
        beginning with the clause that is nearest to any point.
        """
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
            # Rounding undid the success: later descents go farther.
            self.objective.beyond *= 2
        return found


def slope(value: Tensor, x: Tensor) -> Tensor:
    """Compute the gradient of a number by x; zero where the number does not depend on x."""
    if not value.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(value, x, allow_unused=True, materialize_grads=True)
    return gradient
