"""Searches counterexamples of many inputs at once by projected gradient descent (1706.06083).

Some descents of an input raise the highest score of any other class, the others the score of one
class each. Their gradients lead through smoothed jumps, as those of `attack/` do. A point counts
only once ONNX Runtime has replayed it inside the exact region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.attack.descending import TINY, slope
from boundmesh.attack.search import ELEMENTS
from boundmesh.attack.smoothing import SAMPLES, WIDE, Smoothing, jumping, measured_at, narrowing
from boundmesh.attack.space import BallSpace, BoxSpace, space_of
from boundmesh.certify.run import CertifyRun, Radius
from boundmesh.graph.forward import forward
from boundmesh.operators.cut_ball import farthest
from boundmesh.property import Ball, Box
from boundmesh.verdict import Counterexample

# Step lengths, as shares of the region.
FIRST_STEP, LAST_STEP = 0.25, 0.01
MOMENTUM = 0.75
# How often points of one input are replayed in vain before the input is given up.
MOST_REPLAYS = 3


@dataclass(frozen=True)
class DescentEffort:
    """How many descents there are of each input, and how many steps each takes."""

    descents: int
    steps: int


LIGHT = DescentEffort(descents=2, steps=10)
THOROUGH = DescentEffort(descents=10, steps=40)


@dataclass(frozen=True)
class Spaces:
    """The regions of D inputs: boxes, or balls of norm 1 or 2. Points are `[D, R, inputs]`.

    center        `[D, 1, inputs]`, the middle of boxes, or the centre of balls
    lower, upper  `[D, 1, inputs]`, the ends of boxes; of balls, those of the boxes around them,
                  which are cut where the balls are
    radius        `[D, 1, 1]`, the radius of balls
    p             the norm; infinite for boxes
    """

    center: Tensor
    lower: Tensor
    upper: Tensor
    radius: Tensor
    p: float

    @staticmethod
    def of(regions: Sequence[Box | Ball], dtype: torch.dtype, device: torch.device) -> Spaces:
        """Stack the regions, all boxes or all balls of one norm, with ends rounded inwards."""
        spaces = [space_of(region, dtype, device) for region in regions]
        balls = [space for space in spaces if isinstance(space, BallSpace)]
        boxes = [ball.box for ball in balls]
        boxes += [space for space in spaces if isinstance(space, BoxSpace)]
        lower = torch.stack([box.lower for box in boxes]).unsqueeze(1)
        upper = torch.stack([box.upper for box in boxes]).unsqueeze(1)
        if not balls:
            middle, none = lower / 2 + upper / 2, lower.new_zeros(len(boxes), 1, 1)
            return Spaces(middle, lower, upper, none, float("inf"))
        center = torch.stack([ball.center for ball in balls]).unsqueeze(1)
        radius = center.new_tensor([ball.radius for ball in balls])
        return Spaces(center, lower, upper, radius[:, None, None], balls[0].p)

    def take(self, which: Tensor) -> Spaces:
        """Return the regions in the mask `which` `[D]`."""
        ends = self.lower[which], self.upper[which]
        return Spaces(self.center[which], *ends, self.radius[which], self.p)

    def starts(self, descents: int, generator: torch.Generator) -> Tensor:
        """Make `descents` starts for each region: the centre, then random points."""
        center = self.center
        shape = (len(center), descents, center.shape[2])
        drawn = torch.rand(shape, generator=generator, dtype=center.dtype).to(center.device)
        x = center + self.steepest(2 * drawn - 1) * drawn
        x[:, :1] = center
        return self.project(x)

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the step across half of each region along which a linear function rises most."""
        if self.p == float("inf"):
            half: Tensor = (self.upper - self.lower) / 2
            return half * gradient.sign()
        ends = self.lower - self.center, self.upper - self.center
        return farthest(gradient, *ends, self.radius, self.p)

    def project(self, x: Tensor) -> Tensor:
        """Return a point of each region near each x."""
        if self.p != float("inf"):
            away = x - self.center
            norm: Tensor = away.norm(p=self.p, dim=2, keepdim=True)
            x = self.center + away * (self.radius / norm.clamp(min=TINY)).clamp(max=1)
        # A ball's centre lies in its box, so cutting a point takes it no farther away.
        return torch.minimum(torch.maximum(x, self.lower), self.upper)


def search(
    run: CertifyRun,
    indices: Sequence[int],
    radii: Sequence[Radius],
    effort: DescentEffort,
    seed: int = 0,
) -> dict[int, Counterexample]:
    """Search counterexamples of inputs; return those that were found, by the input's index.

    Raises OutOfTime.
    """
    held = sum(node.size for node in run.graph.nodes) * effort.descents
    most = max(1, min(run.together, ELEMENTS // held))
    radius_of = dict(zip(indices, radii, strict=True))
    generator = torch.Generator().manual_seed(run.settings.seed + seed)
    found: dict[int, Counterexample] = {}
    for batch in run.batches(indices, most):
        regions = run.inputs.regions(batch, [radius_of[index] for index in batch])
        with run.layout.without_fetched_weights():
            found |= _Descents(run, batch, regions, effort).search(generator)
    return found


class _Descents:
    """Descents of one batch of inputs, all at once."""

    def __init__(
        self,
        run: CertifyRun,
        indices: Sequence[int],
        regions: Sequence[Box | Ball],
        effort: DescentEffort,
    ) -> None:
        self.run, self.effort = run, effort
        self.indices, self.regions = list(indices), list(regions)
        self.replays = [0] * len(indices)
        self.device, dtype = run.layout.device, run.layout.dtype
        self.spaces = Spaces.of(regions, dtype, self.device)
        self.labels = torch.from_numpy(run.labels[self.indices]).to(self.device)
        scores = torch.from_numpy(run.scores[self.indices]).to(self.device, dtype)
        nearest = scores.scatter(1, self.labels[:, None], -torch.inf).argsort(1, descending=True)
        turns = torch.arange(effort.descents - 1, device=self.device) % (run.classes - 1)
        self.smoothing = self._smoothing()
        self.targets = nearest[:, turns]
        """The class that each descent but the first aims at, `[D, R − 1]`."""

    def _smoothing(self) -> Smoothing:
        """Measure the widths of jumps at random points of every region."""
        graph = self.run.graph
        if not jumping(graph):
            return Smoothing({})
        held = len(self.indices) * sum(node.size for node in graph.nodes)
        count = max(2, min(SAMPLES, ELEMENTS // held))
        points = self.spaces.starts(count, torch.Generator().manual_seed(0))
        return measured_at(graph, self.run.layout.weights, points)

    def search(self, generator: torch.Generator) -> dict[int, Counterexample]:
        found: dict[int, Counterexample] = {}
        steps = self.effort.steps
        x = self.spaces.starts(self.effort.descents, generator)
        momentum = torch.zeros_like(x)
        for step in range(steps + 1):
            self.run.clock.check()
            x = x.detach().requires_grad_(True)
            with torch.enable_grad():
                excess = self._excess(x, WIDE * narrowing(steps) ** step)
                gradient = slope(self._aims(excess).sum(), x)
            new, still = self._confirm(x.detach(), excess.detach())
            found |= new
            if not bool(still.any()) or step == steps:
                return found
            x, momentum, gradient = x.detach()[still], momentum[still], gradient[still]
            self._keep(still)
            length = FIRST_STEP * (LAST_STEP / FIRST_STEP) ** (step / max(1, steps - 1))
            gradient = gradient.nan_to_num(0, 0, 0)
            unit = gradient / gradient.abs().mean(2, keepdim=True).clamp(min=TINY)
            momentum = MOMENTUM * momentum + unit
            x = self.spaces.project(x + 2 * length * self.spaces.steepest(momentum))
        return found

    def _excess(self, x: Tensor, width: float) -> Tensor:
        """Return how much each class exceeds the label, `[D, R, classes]`; −∞ at the label.

        Gradients lead through jumps smoothed over a multiple of the measured widths.
        """
        graph, layout = self.run.graph, self.run.layout
        widths = self.smoothing.scaled(width, x.shape[1])
        y = forward(graph, layout.weights, x.reshape(-1, *graph[graph.input].shape), widths)
        y = y.reshape(*x.shape[:2], -1)
        labels = self.labels[:, None, None].expand(*x.shape[:2], 1)
        return (y - y.gather(2, labels)).scatter(2, labels, -torch.inf)

    def _aims(self, excess: Tensor) -> Tensor:
        """Return the excess over the label that each descent raises, `[D, R]`."""
        first = excess[:, :1].amax(2)
        return torch.cat([first, excess[:, 1:].gather(2, self.targets.unsqueeze(2)).squeeze(2)], 1)

    def _confirm(self, x: Tensor, excess: Tensor) -> tuple[dict[int, Counterexample], Tensor]:
        """Replay the best point of each input that seems to be a counterexample.

        Returns what was confirmed, and the mask of the inputs to go on with.
        """
        best, descent = excess.amax(2).nan_to_num(nan=-torch.inf).max(1)
        found, still = {}, torch.ones(len(x), dtype=torch.bool)
        for row in (best >= 0).nonzero().flatten().tolist():
            point = x[row, descent[row]].double().cpu().numpy()
            seen = self.run.confirmed(self.indices[row], self.regions[row], [point])
            if seen is not None:
                found[self.indices[row]] = seen
            self.replays[row] += 1
            still[row] = seen is None and self.replays[row] < MOST_REPLAYS
        return found, still.to(x.device)

    def _keep(self, still: Tensor) -> None:
        """Drop the other inputs."""
        if bool(still.all()):
            return
        kept = still.nonzero().flatten().tolist()
        self.indices, self.regions = (
            [self.indices[i] for i in kept],
            [self.regions[i] for i in kept],
        )
        self.replays = [self.replays[i] for i in kept]
        self.spaces, self.labels = self.spaces.take(still), self.labels[still]
        self.targets, self.smoothing = self.targets[still], self.smoothing.take(still)
