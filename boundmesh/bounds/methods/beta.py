"""β-CROWN bounds many domains at once, with slopes α and split multipliers β.

For a domain with splits s·z ≥ 0 and any β ≥ 0 (arXiv 2103.06624)

    min over the domain of ⟨row, f(x)⟩ ≥ min over the region of (bound of α-CROWN with the
    coefficient of every split pre-activation z lowered by β·s)

The bounds of the start nodes are the root's, cut at the split points. The rows of a domain are
those of the clause that the domain must refute.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from boundmesh.bounds.clipping.affine_values import AffineValues
from boundmesh.bounds.methods.crown import errors_on
from boundmesh.bounds.methods.domain_bounds import BoundedDomains, DomainParameters
from boundmesh.bounds.methods.mixture import mixed_margin
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.cuts import CutValues
from boundmesh.bounds.relaxation.fixed_lines import SharedLines
from boundmesh.bounds.relaxation.lines import at, in_one_pass
from boundmesh.bounds.relaxation.neurons import Neurons, cut_at_splits
from boundmesh.bounds.relaxation.split_lines import SplitLines
from boundmesh.bounds.sweep.largest_row import one_by_one
from boundmesh.bounds.sweep.region import BoxRegion, Region
from boundmesh.bounds.sweep.rounding_errors import lowered
from boundmesh.bounds.sweep.rows import DenseRows, Tile
from boundmesh.bounds.sweep.tile_state import TileState
from boundmesh.bounds.sweep.whole_rows import input_rows
from boundmesh.operators.interval import Interval


class DomainBounder:
    """Bounds domains of one region, with bounds and relaxations of the root that are computed once.

    problem   the plan, the region (D = 1) and the layout
    bounds    the root's bounds of the start nodes, by name
    neurons   the N unstable neurons of the root
    values    the values that clipping cuts in each domain (None: there is no clipping)
    cuttable  the values that a domain can cut at a point (None: there are none)
    """

    def __init__(
        self,
        problem: Problem,
        bounds: Mapping[str, Interval],
        neurons: Neurons,
        values: AffineValues | None = None,
        cuttable: CutValues | None = None,
    ) -> None:
        self.problem, self.bounds, self.cuttable = problem, bounds, cuttable
        self.errors = errors_on(problem, bounds)
        self.neurons, self.values = neurons, values
        index = {name: unstable.index for name, unstable in neurons.unstable.items()}
        self.shared = SharedLines(bounds, index)
        # Only an elementwise node's output has the same neurons as its input.
        self.watched = frozenset(n.name for n in problem.program.nonlinear if one_by_one(n))
        self.cut_readers = () if cuttable is None else cuttable.nodes(problem.program)
        inside = [in_one_pass(node, neurons.lower) for node in problem.program.nonlinear]
        self.takes_notes = any(inside)
        self.recordable = problem.layout.whole_rows.recordable

    @property
    def slots(self) -> int:
        """How many cuts a domain has room for."""
        return 0 if self.cuttable is None else self.cuttable.slots

    def bound(
        self,
        rows: Tensor,
        offset: Tensor,
        parameters: DomainParameters,
        watch: bool = True,
        box: Interval | None = None,
    ) -> BoundedDomains:
        """Bound rows of D domains by one sweep.

        The margin of a domain is that of the best mixture of its rows, less the offset.

        rows        `[D, S, *output_shape]`
        offset      `[D, S]`, subtracted from the bounds of the rows
        parameters  α, β and splits of the domains
        watch       true if coefficients of the unstable neurons' outputs are kept
        box         the result of `self.box(parameters)` (None: it is computed)
        """
        program = self.problem.program
        box = self.box(parameters) if box is None else box
        draw = SplitLines(
            self.bounds,
            self.neurons,
            self.shared,
            parameters,
            box,
            program.additions,
            self.cuttable,
        )
        tile = Tile(program.target, slice(0, rows.shape[1]), DenseRows(rows))
        readers = [node.name for node in self.cut_readers]
        watched = self.watched.union(readers) if watch else frozenset[str]()
        carried = input_rows(self.problem.layout, program, tile, draw, watched, self.errors)
        constants = -offset if carried.bias is None else carried.bias - offset
        error = carried.total_error(program.graph.input)
        margin, lost = self._margin(carried, constants, error, self.region(parameters))
        return BoundedDomains(
            margin,
            lost,
            parameters,
            self._seen(carried, parameters) if watch else parameters.alpha[..., :0].detach(),
            carried.at_input(program.graph.input, rows),
            lowered(constants.detach(), error, self.errors),
            {
                name: carried.seen[name].detach().expand(len(rows), *carried.seen[name].shape[1:])
                for name in readers
                if name in carried.seen
            },
        )

    def _seen(self, carried: TileState, parameters: DomainParameters) -> Tensor:
        seen = [
            carried.seen[name].flatten(2)[..., self.neurons.unstable[name].index]
            if name in self.watched and name in carried.seen
            else parameters.alpha.new_zeros(*parameters.alpha.shape[:2], _length(columns))
            for name, columns in self.neurons.columns.items()
        ]
        if not seen:
            return parameters.alpha[..., :0].detach()
        return torch.cat([rows.expand(len(parameters.alpha), -1, -1) for rows in seen], dim=2)

    @property
    def root_box(self) -> Interval | None:
        """The root's bounds `[1, n + U]` of the values that clipping cuts; None if it cuts none."""
        region = self.problem.region
        if self.values is None or not isinstance(region, BoxRegion):
            return None
        return self.values.of(region, self.neurons.box)

    def box(self, parameters: DomainParameters) -> Interval:
        """Return bounds `[D or 1, N]` of the unstable neurons: the root's, clipped, split and cut.

        Cuts apply to elementwise neurons that have no split point.
        """
        box = self.neurons.box
        if self.values is not None and parameters.box is not None:
            box = self.values.over(box, parameters.box)
        box = cut_at_splits(box, parameters.splits, self.neurons.split_points)
        if self.cuttable is None or parameters.cuts is None:
            return box
        domains = len(parameters.alpha)
        lower, upper = (end.expand(domains, -1).clone() for end in (box.lower, box.upper))
        boxes = self.cuttable.boxes(parameters.cuts, self.bounds)
        for node in self.cut_readers:
            if one_by_one(node):
                columns, index = self.neurons.columns[node.name], self.neurons.unstable[node.name]
                cut_box = at(boxes[node.inputs[0]], index.index)
                lower[:, columns], upper[:, columns] = cut_box.lower, cut_box.upper
        return Interval(lower, upper)

    def region(self, parameters: DomainParameters) -> Region:
        """Return the input region of the domains, clipped and cut."""
        region = self.problem.region
        if self.values is not None and parameters.box is not None:
            region = self.values.region(parameters.box)
        name = self.problem.program.graph.input
        if self.cuttable is None or parameters.cuts is None or name not in self.cuttable.columns:
            return region
        if not isinstance(region, BoxRegion):
            return region
        cut_box = self.cuttable.boxes(parameters.cuts, self.bounds)[name]
        # A domain without a point may be bounded on any box.
        lower, upper = (
            torch.maximum(region.lower, cut_box.lower),
            torch.minimum(region.upper, cut_box.upper),
        )
        some = lower <= upper
        return BoxRegion(
            torch.where(some, lower, region.lower), torch.where(some, upper, region.upper)
        )

    def _margin(
        self, carried: TileState, constants: Tensor, error: Tensor | None, region: Region
    ) -> tuple[Tensor, Tensor]:
        rows = carried.dense_at(self.problem.program.graph.input)
        if rows is None:
            margin = lowered(constants, error, self.errors).amax(1)
            return margin, constants.detach().amax(1) - margin.detach()
        return mixed_margin(region, rows, constants, error, self.errors)


def _length(columns: slice) -> int:
    result: int = columns.stop - columns.start
    return result
