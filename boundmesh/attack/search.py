"""Projected gradient descent in one case, on its own clauses (arXiv 1706.06083)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.attack.changing import search_by_changes
from boundmesh.attack.descending import Descending, slope
from boundmesh.attack.flips import Flips
from boundmesh.attack.objective import Objective
from boundmesh.attack.replay import Replay, representable
from boundmesh.attack.smoothing import SAMPLES, WIDE, measured
from boundmesh.attack.space import Space, space_of
from boundmesh.graph.forward import forward, multiplications
from boundmesh.graph.graph import Graph
from boundmesh.kernels.recorded import recorded_at_first_call
from boundmesh.property import Property
from boundmesh.verdict import Counterexample

# The most numbers held for one step of a descent. Larger batches are divided.
ELEMENTS = 2**26
# So many numbers are held for each input of a point: where it is, where it was nearest, twice, its
# momentum, and what a step computes.
PER_INPUT = 14
# The most multiplications in one forward pass on a CPU, which takes about a second with its
# gradient: the clock is looked at between steps.
WORK = 4 * 10**9
# This share of the starts is driven apart first.
DIVERSE = 2 / 3
DIVERSE_STEPS = 2
# Step lengths, as shares of the region. The first one of each restart is drawn from a range.
FIRST_STEP = 0.02, 0.5
FIRST_STEP_NEARBY = 0.002, 0.2
# The number of best points whose neighbourhood is searched, and how far from them.
ELITE = 20
NEARBY = 0.01, 0.2
# A descent has no use where more than this share of its points have no gradient.
STILL = 0.5
# Steps of so few elements are recorded on a GPU, which finishes them before the host starts more.
SMALL = 2**23
# A GPU waits for the host whenever the host looks at the points, so it looks after so many steps.
BETWEEN_LOOKS = 8


@dataclass
class Descent:
    """Descents in one case, towards some of its clauses.

    graph     the network
    weights   its weights, as tensors by name
    property  the property
    case      the number of the case in the property
    replay    confirms points in ONNX Runtime; only confirmed points count
    clauses   the numbers of the clauses to satisfy
    recordable  true if work with the weights can be recorded as a CUDA graph and replayed

    `batch` is the number of points that fit into one descent.
    """

    graph: Graph
    weights: Mapping[str, Tensor]
    property: Property
    case: int
    replay: Replay
    clauses: Sequence[int]
    recordable: bool = False

    def __post_init__(self) -> None:
        case = self.property.cases[self.case]
        example = next(iter(self.weights.values()), torch.empty(0))
        self.dtype, self.device = example.dtype, example.device
        self.space: Space = space_of(case.region, self.dtype, self.device)
        chosen = [case.clauses[place] for place in self.clauses]
        self.objective = Objective(chosen, self.dtype, self.device)
        inputs = self.graph[self.graph.input].size
        self.held = sum(node.size for node in self.graph.nodes) + self.objective.width
        self.batch = max(1, ELEMENTS // (self.held + PER_INPUT * inputs))
        if self.device.type == "cpu":
            self.batch = max(1, min(self.batch, WORK // multiplications(self.graph)))
        samples = min(SAMPLES, self.batch)
        self.smoothing = measured(self.graph, self.weights, self.space, samples)
        self.kept = max(1, min(ELITE, ELEMENTS // (PER_INPUT * inputs)))
        # The share of the points that had no gradient at the end of the last descent.
        self.still = torch.zeros((), dtype=self.dtype, device=self.device)
        self.elite = torch.empty(0, inputs, dtype=self.dtype, device=self.device)
        self._elite_excess = torch.empty(0, dtype=self.dtype, device=self.device)

    def restart(
        self, count: int, steps: int, generator: torch.Generator
    ) -> Iterator[Counterexample | None]:
        """Descend from `count` new starts; yield the counterexample or None now and then."""
        x = self.starts(count, generator)
        yield None
        yield from self.descend(x, steps, generator)

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

        Yields the counterexample that was found, or None, after every step; after every eighth
        one on a GPU.
        """
        target = self.targets(self.objective.excess(x, self.output(x)))
        length = self._between(lengths, len(x), generator)
        moving = Descending(
            self.objective, self.space, self.smooth_output, x, target, length, steps
        )
        small = len(x) * self.held <= SMALL
        on_gpu = self.device.type == "cuda"
        step = recorded_at_first_call(
            moving.step, self.device, recordable=self.recordable and small
        )
        for step_number in range(1, steps + 1):
            step()
            if not on_gpu or step_number % BETWEEN_LOOKS == 0 or step_number == steps:
                yield self.confirm(moving)
        moving.look()
        self.still = moving.still
        yield self.confirm(moving)
        points = torch.cat([self.elite, moving.best])
        excesses = torch.cat([self._elite_excess, moving.least])
        order = excesses.argsort()[: self.kept]
        self.elite, self._elite_excess = points[order], excesses[order]

    def flip(self, turns: int, generator: torch.Generator) -> Iterator[Counterexample | None]:
        """Search without gradients, from the best points so far among others."""
        return search_by_changes(
            self.graph, self.weights, self.property, self.case, self.clauses, self.replay, turns,
            generator, Flips(self.space, self.graph[self.graph.input].shape, self.elite),
        )  # fmt: skip

    def stuck(self) -> bool:
        """Return True if jumps or missing gradients call for a search without gradients."""
        return bool(self.smoothing.widths) or float(self.still) > STILL

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
                output = self.smooth_output(diverse, diverse.new_tensor(WIDE))
                score = (wanted * output.flatten(1)).sum()
                gradient = slope(score, diverse)
            with torch.no_grad():
                gradient = gradient.nan_to_num(0, 0, 0)
                diverse = self.space.project(diverse + self.space.steepest(gradient) / 2)
        return torch.cat([x[: count - len(diverse)], diverse])

    def output(self, x: Tensor) -> Tensor:
        """Compute the network's output `[N, *shape]` at flat points `[N, inputs]`."""
        return forward(self.graph, self.weights, x.reshape(-1, *self.graph[self.graph.input].shape))

    def smooth_output(self, x: Tensor, width: Tensor) -> Tensor:
        """Compute the same output, with gradients through smoothed jumps.

        `width` is a multiple of the measured widths, as a tensor of one number.
        """
        x = x.reshape(-1, *self.graph[self.graph.input].shape)
        return forward(self.graph, self.weights, x, self.smoothing.scaled(width))

    def targets(self, excess: Tensor) -> Tensor:
        """Choose the clause that each point descends towards, `[N]`.

        For half of the points it is the nearest clause. The rest are dealt out over all clauses,
        beginning with the clause that is nearest to any point.
        """
        worst = self.objective.worst(excess)
        turns = worst.amin(0).argsort()
        point = torch.arange(len(worst), device=worst.device)
        return torch.where(point % 4 < 2, worst.argmin(1), turns[point % len(turns)])

    def confirm(self, moving: Descending) -> Counterexample | None:
        """Replay the most promising point since the last time if it seems to satisfy a clause."""
        nearest, index = moving.nearest.min(0)
        least, beyond = torch.stack([nearest, self.objective.beyond]).tolist()
        moving.forget()
        if not least <= beyond:
            return None
        region = self.property.cases[self.case].region
        point = representable(region, moving.near[index].double().cpu().numpy(), self.graph.inputs)
        found = self.replay(self.property, self.case, point)
        if found is None and least <= 0:
            # Rounding undid the success: later descents go farther.
            self.objective.beyond.mul_(2)
        return found
