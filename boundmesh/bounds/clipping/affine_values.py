"""Values that are affine in the input: its elements, and neurons before any nonlinear operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from boundmesh.bounds.methods.crown import errors_on
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.fixed_lines import FixedLines
from boundmesh.bounds.relaxation.neurons import Neurons
from boundmesh.bounds.sweep.largest_row import one_by_one
from boundmesh.bounds.sweep.program import Program
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rounding_errors import Errors
from boundmesh.bounds.sweep.rows import Tile, units
from boundmesh.bounds.sweep.tile_state import TileState
from boundmesh.bounds.sweep.whole_rows import input_rows
from boundmesh.kernels.matmul import BLOCK_ROUNDINGS, mm
from boundmesh.operators import RULES
from boundmesh.operators.interval import Interval
from boundmesh.operators.node import Node
from boundmesh.operators.rounding import INFLATION

# The most coefficients of all values; clipping passes over them several times for every domain.
MOST_COEFFICIENTS = 2**17
# A bound is widened by so many rounding errors of the numbers from which it is computed, and by one
# for each term of their sums. Each counts double, as `eps` is two unit roundoffs.
ROUNDINGS = 16


@dataclass(frozen=True)
class AffineValues:
    """The n elements of the flat input x, and U unstable neurons `z = T·x + t`.

    rows       T, `[U, n]`
    constants  t, `[U]`
    deviation  `[U]`, the largest distance of each z from its exact value
    places     `[U]`, the places of these neurons among the N unstable neurons of all nodes
    shape      the shape of the input

    Bounds of all values are `[D, n + U]`, with the inputs first.
    """

    rows: Tensor
    constants: Tensor
    deviation: Tensor
    places: Tensor
    shape: tuple[int, ...]

    @property
    def inputs(self) -> int:
        return self.rows.shape[1]

    def ranges(self, lower: Tensor, upper: Tensor) -> Interval:
        """Compute the neurons' ranges `[D, U]` over boxes `lower ≤ x ≤ upper`, `[D, n]`.

        They are `T·c + t ± |T|·r`, rounded outward; c is the centre and r the radius of a box.
        """
        center, radius = (upper + lower) / 2, (upper - lower) / 2
        size = self.rows.abs()
        middle, spread = mm(center, self.rows.T) + self.constants, mm(radius, size.T)
        total = spread + mm(center.abs(), size.T) + self.sizes
        # On GPUs `mm` may be the kernel of `matmul.py`, which passes more roundings.
        blocks = BLOCK_ROUNDINGS if total.is_cuda and total.dtype == torch.float32 else 0
        slack = rounding(total, terms=self.inputs + blocks)
        return Interval(middle - spread - slack, middle + spread + slack)

    @cached_property
    def sizes(self) -> Tensor:
        """|t|, increased so that `rounding` of a sum with it also covers `deviation`, `[U]`."""
        share = float(rounding(torch.ones((), dtype=self.rows.dtype), terms=self.inputs))
        return self.constants.abs() + self.deviation / share

    def region(self, box: Interval) -> BoxRegion:
        """Return the input boxes from bounds `[D, n + U]` of the values."""
        lower, upper = (ends[:, : self.inputs] for ends in (box.lower, box.upper))
        return BoxRegion(lower.reshape(-1, *self.shape), upper.reshape(-1, *self.shape))

    def of(self, region: BoxRegion, neurons: Interval) -> Interval:
        """Select bounds `[D, n + U]` of the values from a region and bounds of all N neurons."""
        lower, upper = region.lower.flatten(1), region.upper.flatten(1)
        return Interval(
            torch.cat([lower, neurons.lower[:, self.places].expand(len(lower), -1)], dim=1),
            torch.cat([upper, neurons.upper[:, self.places].expand(len(upper), -1)], dim=1),
        )

    def over(self, neurons: Interval, box: Interval) -> Interval:
        """Return bounds `[D, N]` of all neurons: `neurons` `[1, N]`, with those of the values
        replaced by the ones in `box` `[D, n + U]`."""

        def laid(below: Tensor, above: Tensor) -> Tensor:
            wide = below.expand(len(above), -1)
            return wide.index_copy(1, self.places, above[:, self.inputs :])

        return Interval(laid(neurons.lower, box.lower), laid(neurons.upper, box.upper))


def affine_values(
    problem: Problem, bounds: Mapping[str, Interval], neurons: Neurons
) -> AffineValues | None:
    """Find the values of one region (D = 1) that can be clipped.

    These are the inputs, and the neurons that can be split and have no nonlinear operator before
    them. The result is None if there is no such neuron, if their coefficients are too many, or if
    the region is not a finite box.
    """
    region, program = problem.region, problem.program
    if not isinstance(region, BoxRegion):
        return None
    nodes = [node.name for node in program.nonlinear if _bends_first(program, node)]
    count = sum(len(neurons.unstable[name].index) for name in nodes)
    finite = bool((region.upper - region.lower).isfinite().all())
    if not finite or not 0 < count * region.lower[0].numel() <= MOST_COEFFICIENTS:
        return None
    rows, constants, deviations, places = [], [], [], []
    errors = errors_on(problem, bounds)
    all_neurons = torch.arange(neurons.count, device=region.lower.device)
    for name in nodes:
        carried = _pulled_back(problem, name, neurons.unstable[name].index, errors)
        rows.append(carried.at_input(program.graph.input, all_neurons)[0].flatten(1))
        bias = carried.bias
        constants.append(torch.zeros_like(rows[-1][:, 0]) if bias is None else bias[0])
        error = carried.total_error(program.graph.input)
        error = None if error is None else INFLATION * error[0]
        deviations.append(torch.zeros_like(constants[-1]) if error is None else error)
        places.append(all_neurons[neurons.columns[name]])
    shape = program.graph[program.graph.input].shape
    return AffineValues(
        torch.cat(rows), torch.cat(constants), torch.cat(deviations), torch.cat(places), shape
    )


def _bends_first(program: Program, node: Node) -> bool:
    """Return True if a node can be split and its input is affine in the network's input."""
    if not one_by_one(node) or RULES[node.op].split_point is None:
        return False
    before = program.order(node.inputs[0])
    return not program.below(node.inputs[0]) and program.graph[program.graph.input] in before


def _pulled_back(problem: Problem, name: str, index: Tensor, errors: Errors | None) -> TileState:
    """Pull the neurons `index` of a node's input back to the network's input."""
    start, dtype = problem.program.graph[name].inputs[0], problem.region.interval.lower.dtype
    tile = Tile(start, slice(0, len(index)), units(index, dtype))
    draw = FixedLines({})
    return input_rows(problem.layout, problem.program, tile, draw, frozenset(), errors)


def rounding(size: Tensor, terms: int = 1) -> Tensor:
    """Bound the rounding error of a sum of `terms` terms with absolute values of sum `size`."""
    return (ROUNDINGS + terms) * torch.finfo(size.dtype).eps * size


def share_of_rounding(values: AffineValues) -> float:
    """Return the relative rounding error of a sum over the inputs."""
    return float(rounding(values.rows.new_ones((), device="cpu"), terms=values.inputs))
