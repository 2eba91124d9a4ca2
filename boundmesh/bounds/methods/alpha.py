"""α-CROWN optimises the slopes α of the rows of all start nodes jointly (arXiv 2011.13824).

Coefficients are kept for one tile at a time. An iteration has two passes over the start nodes:
    down   From the last to the first, each tile is swept with gradients. Its own α takes a step of
           Adam at once. Gradients to the bounds (l, u) of earlier start nodes are added up, in the
           order of the tiles.
    up     From the first to the last, the bounds of each start node are computed again, from its
           new α and the bounds of earlier start nodes.
The bounds of every iteration are sound, so the best one of every row and neuron is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boundmesh.bounds.methods.adam import StepSizes
from boundmesh.bounds.methods.bound_gradients import Gradients
from boundmesh.bounds.methods.crown import (
    better,
    bound_rows,
    intermediate_bounds,
    intersect,
    unstable_neurons,
)
from boundmesh.bounds.methods.ibp import no_looser
from boundmesh.bounds.methods.method import (
    BoundMethod,
    MethodOptions,
    RowBounds,
    Stop,
    Weigh,
    never,
    ones,
)
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.methods.sloped_rows import Sloped, SlopedRows
from boundmesh.bounds.methods.stalling import Stalling
from boundmesh.bounds.sweep.rows import DenseRows, Rows, both_sides, ends
from boundmesh.kernels.recorded import Step, recorded_at_first_call
from boundmesh.operators.interval import Interval

# The target has few rows in comparison with the start nodes. The slopes of its rows therefore take
# this many steps for each step of the other slopes.
STEPS_OF_ROWS = 3


@dataclass(frozen=True)
class StepSchedule:
    """The schedule of the optimisation of the slopes.

    iterations     how many iterations run, at most
    learning_rate  Adam's learning rate in the first iteration
    decay          the factor on the learning rate after each iteration
    intermediate   true if the slopes of the start nodes' rows are optimised, too
    """

    iterations: int = 20
    learning_rate: float = 0.2
    decay: float = 0.98
    intermediate: bool = True


@dataclass(frozen=True)
class Optimised:
    """The best bounds of all iterations.

    lower       `[D, S]`, lower bounds of the rows of the target
    bounds      bounds of the start nodes, by name
    iterations  how many iterations ran
    """

    lower: Tensor
    bounds: Mapping[str, Interval]
    iterations: int


def alpha_crown(
    problem: Problem,
    rows: Rows,
    schedule: StepSchedule = StepSchedule(),
    weigh: Weigh = ones,
    stop: Stop = never,
) -> Optimised:
    """Compute α-CROWN's lower bounds of rows of the target, which are never below CROWN's.

    The optimisation maximises Σ weigh·lower over the α of the rows and of all start nodes' rows.
    `stop` is called with the best bounds `[D, S]` of the rows and those of the start nodes after
    every iteration, and ends the optimisation if it returns True. It also ends when it has stalled.
    An iteration costs about three sweeps of CROWN. Each α takes 6 bytes.
    """
    climb = Climb(problem, rows, schedule)
    if not climb.sloped.below(problem.program.target) or stop(climb.lower, climb.best):
        return Optimised(climb.lower, climb.best, 0)
    iterate = climb.ready()
    stalling = Stalling(climb.lower, climb.present, schedule.iterations)
    done = 0
    for done in range(1, schedule.iterations + 1):
        problem.check()
        climb.prepare(done, weigh(climb.lower))
        iterate()
        if stop(climb.lower, climb.best) or stalling.after(
            climb.lower, climb.present, climb.weight
        ):
            break
    return Optimised(climb.lower, climb.best, done)


class Climb:
    """The state of one optimisation: tensors that every iteration reads and writes in place.

    lower    `[D, S]`: the best bounds of the rows so far
    present  `[D, S]`: their bounds under the present slopes
    """

    def __init__(self, problem: Problem, rows: Rows, schedule: StepSchedule) -> None:
        program = problem.program
        self.problem, self.schedule = problem, schedule
        start = intermediate_bounds(problem, by_rows=True)
        self.first = start.bounds
        self.best = {
            name: Interval(box.lower.clone(), box.upper.clone())
            for name, box in start.sharpest.items()
        }
        with torch.no_grad():
            draw = problem.fixed_lines(self.first)
            self.lower = bound_rows(problem, program.target, rows, draw, start.errors)
            self.present = self.lower.clone()
            if isinstance(rows, DenseRows):
                self.lower = no_looser(problem, rows, self.lower)
        self.sloped = Sloped.of(problem, self.first, start.errors)
        self.final = self.sloped.rows(program.target, torch.empty(0), rows)
        self.starts = [s for s in map(self._intermediate, program.starts) if s is not None]
        self.weight = torch.empty_like(self.lower)
        self.pace = StepSizes(1 + STEPS_OF_ROWS, self.lower)

    def _intermediate(self, name: str) -> SlopedRows | None:
        # Without a line below there is no slope to choose.
        if not self.schedule.intermediate or not self.sloped.below(name):
            return None
        index = unstable_neurons(self.problem.program, name, self.first)
        if not len(index):
            return None
        return self.sloped.rows(name, index, both_sides(index, self.first[name].lower.dtype))

    def ready(self) -> Step:
        """Return `iterate`, recorded at its first call if it can be."""
        layout = self.problem.layout
        return recorded_at_first_call(self.iterate, layout.device, recordable=layout.recordable)

    def prepare(self, done: int, weight: Tensor) -> None:
        """Set the weights of the rows and the step sizes of iteration `done`, counted from 1."""
        rate = self.schedule.learning_rate * self.schedule.decay ** (done - 1)
        steps = [(done - 1) * STEPS_OF_ROWS + place for place in range(1, 1 + STEPS_OF_ROWS)]
        self.pace.set((rate, done), *((rate, step) for step in steps))
        self.weight.copy_(weight)

    def iterate(self) -> None:
        """Step all slopes along their gradients, then recompute all bounds."""
        slope_steps, *row_steps = self.pace.steps
        self._down(slope_steps, row_steps[0])
        self._up()
        for pace in row_steps[1:]:
            self.sloped.step_slopes(self.final, self.best, self.weight, Gradients(self.best), pace)
        with torch.no_grad():
            self.present.copy_(self.sloped.bound(self.final, self.best))
            self.lower.copy_(better(self.lower, self.present, torch.maximum))

    def _down(self, slope_steps: Tensor, row_steps: Tensor) -> None:
        slope = Gradients(self.best)
        self.sloped.step_slopes(self.final, self.best, self.weight, slope, row_steps)
        for start in reversed(self.starts):
            pull = slope.of_rows(start.name, start.index)
            if pull is not None:
                self.sloped.step_slopes(start, self.best, pull, slope, slope_steps)

    @torch.no_grad()
    def _up(self) -> None:
        for start in self.starts:
            known = self.best[start.name]
            box = intersect(known, start.index, *ends(self.sloped.bound(start, self.best)))
            known.lower.copy_(box.lower)
            known.upper.copy_(box.upper)


def _bound(problem: Problem, rows: DenseRows, options: MethodOptions) -> RowBounds:
    schedule = StepSchedule(options.iterations, options.learning_rate, options.decay)
    optimised = alpha_crown(problem, rows, schedule, options.weigh, options.stop)
    return RowBounds(optimised.lower, optimised.bounds)


ALPHA_CROWN = BoundMethod("alpha-crown", _bound, sides_apart=True)
