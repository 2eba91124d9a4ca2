"""Searches a counterexample without gradients: patches of inputs move to the ends of their ranges.

Networks of signs are constant between jumps, and a point that changes few values of the first layer
lies mostly at corners of the region. So patches that shrink from turn to turn are set to random
ends of their ranges (Square Attack, arXiv 1912.00049). In an input without spatial axes the patches
are random sets of inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.attack.space import BoxSpace, Space
from boundmesh.operators.node import Shape

SPATIAL = 5
"""The least length of an axis along which neighbours change together."""

LARGEST = 0.3
"""The share of the inputs that a patch covers in the first turn; in the last it is one place."""


@dataclass(frozen=True)
class Flips:
    """Sets patches of inputs to random ends of their ranges.

    space  the region; in a ball, patches move by a random step and are projected
    shape  the shape of the network's input
    known  `[N, inputs]`, the best points of earlier descents, from which half of the points start
    """

    space: Space
    shape: Shape
    known: Tensor

    def starts(self, count: int, generator: torch.Generator) -> Tensor:
        """Return the centre, the known points, and random corners."""
        center = self.space.center.unsqueeze(0).expand(count, -1)
        x = self._moved(center, generator)
        x[:1] = center[:1]
        kept = self.known[: count // 2].to(x)
        x[1 : 1 + len(kept)] = kept[: count - 1]
        return x.double().cpu()

    def changed(self, x: Tensor, share: float, generator: torch.Generator) -> Tensor:
        near = x.to(self.space.center)
        covered = LARGEST * (1 - share) ** 2
        chosen = self._patches(len(x), covered, generator).to(near.device)
        # Neighbours in a patch move to the same ends in half of the points.
        flat = torch.where(chosen, self._moved(near, generator), near)
        return self.space.project(flat).double().cpu()

    def _moved(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return points whose every input moved to a random end of its range."""
        if not isinstance(self.space, BoxSpace):
            return self.space.project(x + self.space.random_step(len(x), generator).to(x.device))
        upper = self._drawn(len(x), generator).to(x.device)
        return torch.where(upper, self.space.upper, self.space.lower)

    @property
    def _spatial(self) -> tuple[int, ...]:
        """The axes along which neighbours change together: two or more long ones, or none."""
        long = tuple(axis for axis, length in enumerate(self.shape) if length >= SPATIAL)
        return long if len(long) >= 2 else ()

    def _drawn(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw true or false for each input: the same along spatial axes in half of the points."""
        alone = torch.rand(count, *self.shape, generator=generator) < 0.5
        alike = [1 if axis in self._spatial else length for axis, length in enumerate(self.shape)]
        joint = torch.rand(count, *alike, generator=generator) < 0.5
        odd = (torch.arange(count) % 2 == 1).reshape(-1, *[1] * len(self.shape))
        return torch.where(odd, alone, joint).reshape(count, -1)

    def _patches(self, count: int, covered: float, generator: torch.Generator) -> Tensor:
        """Draw one patch for each point, as a mask `[count, inputs]`."""
        size = max(1, len(self.space.center))
        if not self._spatial:
            rate = torch.rand(count, 1, generator=generator) * covered
            mask = torch.rand(count, size, generator=generator) < rate.clamp(min=1 / size)
            return mask
        mask = torch.ones(count, *self.shape, dtype=torch.bool)
        for axis in self._spatial:
            length = self.shape[axis]
            side = max(1, round(length * covered ** (1 / len(self._spatial))))
            first = torch.randint(0, length - side + 1, (count, 1), generator=generator)
            place = torch.arange(length)
            inside = (place >= first) & (place < first + side)
            dims = [1] * len(self.shape)
            dims[axis] = length
            mask &= inside.reshape(count, *dims)
        return mask.reshape(count, -1)
