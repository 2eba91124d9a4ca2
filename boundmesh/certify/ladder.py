"""Bounds many inputs together, each with the rows of its own label, from cheap methods to tight.

The row of an input with label y and a class j is `score(y) − score(j)`. Its lower bound over the
input's region is the margin of j. An input is certified once all of its margins are above zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.methods.method import MethodOptions
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.methods.table import METHODS
from boundmesh.bounds.sweep.region import region_tensors
from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.certify.run import CertifyRun, Radius
from boundmesh.operators.interval import Interval
from boundmesh.proof.ladder import FEW_INPUTS
from boundmesh.proof.question import free_inputs

METHODS_IN_TURN = ("ibp", "crown-ibp", "crown", "alpha-crown")
"""The methods that `method="auto"` uses; each gets the inputs that those before it left open."""

WITHOUT_ROWS = frozenset(("ibp", "crown-ibp"))
"""The methods that bound no start node by rows."""

ROWS_AT_ONCE = {"cpu": 2**25, "cuda": 2**31}
"""The most numbers in all rows of the start nodes, of all inputs that are bounded together."""

ALPHA_BYTES = 6
"""The bytes that each slope α takes, with its two moments."""

ALPHA_MEMORY = {"cpu": 2**28, "cuda": 2**32}
"""The most bytes that the slopes of all inputs that are bounded together may take."""

Bounds = Mapping[str, Interval]


@dataclass(frozen=True)
class Ladder:
    """Bounds inputs of a run by one method after the other."""

    run: CertifyRun

    def improve(
        self,
        method: str,
        indices: Sequence[int],
        radii: Sequence[Radius],
        margins: Tensor,
        check: Callable[[], None] | None = None,
    ) -> dict[str, Interval]:
        """Bound the open classes of a batch of inputs; enter in `margins` `[D, classes]` what is
        better.

        The bounds of the start nodes `[D, …]` are returned, by name. Raises OutOfTime.
        """
        run, layout = self.run, self.run.layout
        region = region_tensors(
            run.inputs.regions(indices, radii),
            run.graph[run.graph.input].shape,
            layout.dtype,
            layout.device,
        )
        settings, clock = run.settings.bounds, run.clock
        problem = Problem(
            run.program, region, layout, settings.tile_elements, check or clock.check, run.rounding
        )
        classes = open_classes(margins)
        labels = torch.from_numpy(run.labels[list(indices)])
        slack = torch.from_numpy(run.slack[list(indices)]).gather(1, classes)

        def note(lower: Tensor) -> Tensor:
            """Keep the best margins, and return the mask of the open rows.

            NaN and infinity are no margins.
            """
            bounded = (lower.double().cpu() - slack).nan_to_num(-torch.inf, -torch.inf, -torch.inf)
            margins.scatter_(1, classes, torch.fmax(margins.gather(1, classes), bounded))
            return ~(margins.gather(1, classes) > 0)

        options = MethodOptions(
            settings.iterations,
            settings.learning_rate,
            settings.decay,
            weigh=lambda best: note(best).to(best),
            stop=lambda best, bounds: not note(best).any(),
        )
        rows = self._rows(labels, classes)
        bounded = METHODS[method].bound(problem, rows, options)
        note(bounded.lower)
        return dict(bounded.bounds or {})

    def _rows(self, labels: Tensor, classes: Tensor) -> DenseRows:
        """Return the exact rows `score(label) − score(class)`, `[D, S, *output_shape]`."""
        run = self.run
        rows = torch.zeros(*classes.shape, run.classes, dtype=run.layout.dtype)
        rows.scatter_(2, classes.unsqueeze(2), -1.0)
        rows.scatter_(2, labels[:, None, None].expand(*classes.shape, 1), 1.0)
        shape = run.graph[run.graph.output].shape
        return DenseRows(rows.to(run.layout.device).reshape(*classes.shape, *shape))

    def together(self, method: str, unstable: Mapping[str, int]) -> int:
        """Return how many inputs `method` bounds at a time for these counts of unstable neurons.

        A neuron that is unstable for one input of a batch gets rows for all inputs of the batch. So
        a batch is no larger than keeps the device busy; a larger one has more needless rows.
        """
        most, program = self.run.together, self.run.program
        kind = self.run.layout.device.type
        if method in WITHOUT_ROWS:
            return most

        def count(name: str) -> int:
            return min(unstable.get(name, program.graph[name].size), program.graph[name].size)

        rows = self.run.classes + sum(2 * count(start) for start in program.starts)
        most = min(most, ROWS_AT_ONCE[kind] // (rows * program.widest(program.target)))
        if METHODS[method].sides_apart:
            most = min(most, ALPHA_MEMORY[kind] // max(1, ALPHA_BYTES * self._slopes(count)))
        return max(1, most)

    def _slopes(self, count: Callable[[str], int]) -> int:
        """Return how many slopes α one input has for these numbers of unstable neurons by node."""
        program = self.run.program

        def below(name: str) -> int:
            return sum(count(node.inputs[0]) for node in program.below(name))

        slopes = sum(2 * count(start) * below(start) for start in program.starts)
        return slopes + self.run.classes * below(program.target)

    def methods(self, radius: Radius) -> tuple[str, ...]:
        """Return the methods to use in turn.

        With few free inputs, to split them is cheaper than to optimise slopes.
        """
        chosen = self.run.settings.bounds.method
        if chosen != "auto":
            return (chosen,)
        region = self.run.inputs.region(0, radius)
        shape = self.run.graph[self.run.graph.input].shape
        few = free_inputs(region_tensors([region], shape, self.run.layout.dtype)) <= FEW_INPUTS
        return METHODS_IN_TURN[:-1] if few else METHODS_IN_TURN


def open_classes(margins: Tensor) -> Tensor:
    """Return the classes `[D, S]` whose margin `[D, classes]` is not above zero.

    S is the largest number of any input. Inputs with fewer repeat their worst class.
    """
    still = ~(margins > 0)
    most = max(1, int(still.sum(1).max()))
    known = margins.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    order = torch.where(still, known, torch.inf).argsort(dim=1, stable=True)[:, :most]
    there = torch.arange(most) < still.sum(1, keepdim=True)
    return torch.where(there, order, order[:, :1])
