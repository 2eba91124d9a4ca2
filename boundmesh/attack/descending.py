"""The points of one descent, and the step that moves them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from boundmesh.attack.objective import Objective
from boundmesh.attack.smoothing import WIDE, narrowing
from boundmesh.attack.space import Space

LAST_STEP = 0.001  # as a share of the region
MOMENTUM = 0.8
TINY = 1e-30


class Descending:
    """N points that descend together; every step reads and writes the same tensors.

    x      `[N, inputs]`, where the points are
    best   `[N, inputs]`, where each point was nearest to a clause, and `least` `[N]`, how near
    near   `[N, inputs]`, the same since the last call of `forget`, and `nearest` `[N]`
    still  the share of the points that had no gradient in the last step, as a tensor

    `output` computes the network's output at points; its second argument is the width of smoothed
    jumps, as a multiple of the measured one, which falls from step to step.

    A step never waits for a value from the device, so it can be recorded as a CUDA graph.
    """

    def __init__(
        self,
        objective: Objective,
        space: Space,
        output: Callable[[Tensor, Tensor], Tensor],
        x: Tensor,
        target: Tensor,
        length: Tensor,
        steps: int,
    ) -> None:
        self._objective, self._space, self._output, self._target = objective, space, output, target
        self._length = length.clone()
        self._width = x.new_tensor(WIDE)
        self._narrower = narrowing(steps)
        self._decay = (LAST_STEP / length) ** (1 / max(1, steps - 1))
        self._momentum = torch.zeros_like(x)
        self.x, self.best, self.near = x.clone(), x.clone(), x.clone()
        self.least = x.new_full((len(x),), torch.inf)
        self.nearest = self.least.clone()
        self.still = x.new_zeros(())

    def step(self) -> None:
        """Note how near every point is to a clause, then move it towards its target."""
        x = self.x.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            excess = self._objective.excess(x, self._output(x, self._width))
            gradient = slope(self._objective.loss(excess, self._target).sum(), x)
        with torch.no_grad():
            self._note(excess.detach())
            gradient = gradient.nan_to_num(0, 0, 0)
            self.still.copy_((gradient == 0).all(1).to(x.dtype).mean())
            unit = gradient / gradient.norm(dim=1, keepdim=True).clamp(min=TINY)
            self._momentum.mul_(MOMENTUM).add_(unit)
            # Two kinds of descent are used, since each finds points that the other one misses.
            direction = self._space.steepest(self._momentum)
            direction[::2] = self._space.along(gradient[::2])
            self.x.copy_(self._space.project(self.x - self._length * direction))
            self._length.mul_(self._decay)
            self._width.mul_(self._narrower)

    @torch.no_grad()
    def look(self) -> None:
        """Note how near every point is to a clause."""
        self._note(self._objective.excess(self.x, self._output(self.x, self._width)))

    def forget(self) -> None:
        """Forget where the points were nearest."""
        self.nearest.fill_(torch.inf)

    def _note(self, excess: Tensor) -> None:
        now = self._objective.worst(excess).amin(1)
        for least, points in ((self.least, self.best), (self.nearest, self.near)):
            better = now < least
            points.copy_(torch.where(better[:, None], self.x, points))
            least.copy_(torch.where(better, now, least))


def slope(value: Tensor, x: Tensor) -> Tensor:
    """Compute the gradient of a number by x; zero where the number does not depend on x."""
    if not value.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(value, x, allow_unused=True, materialize_grads=True)
    return gradient
