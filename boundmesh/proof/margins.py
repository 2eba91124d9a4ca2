"""From the clauses of a property to rows, and from the rows' bounds to what they prove.

An atom `⟨a, x⟩ + ⟨c, y⟩ ≤ b` cannot hold where its margin, the lower bound of
`⟨a, x⟩ + ⟨c, y⟩ − b`, is positive. A clause is refuted when one of its atoms cannot hold;
a property is proved when every clause is refuted on every region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.graph import Graph
from boundmesh.operators.reshape import reshape_node
from boundmesh.operators.select import concat_node
from boundmesh.property import Clause
from boundmesh.rational import is_float, rounded

# Bounds are computed in floating point: a margin is a proof only where it exceeds this many
# rounding errors of the numbers that it was made from.
ROUNDINGS = 16


@dataclass(frozen=True)
class Margins:
    """The S distinct atoms of some clauses as rows of `graph`'s output.

    graph         the network whose output the rows multiply
    coefficients  `[S, size of the output node]`, float64: nearest to the atoms' exact coefficients
    bound         `[S]`, float64: the atoms' exact bounds, rounded up, so that a value above it is
                  above the exact bound
    strict        `[S]`: True where the atom has `<`
    members       the rows of each clause
    deviation     the shape of `coefficients`: at least as large as the distance of each coefficient
                  from the exact one; None where all are exact
    """

    graph: Graph
    coefficients: Tensor
    bound: Tensor
    strict: Tensor
    members: tuple[tuple[int, ...], ...]
    deviation: Tensor | None = None

    @property
    def table(self) -> Tensor:
        """The rows of each clause, `[clauses, most]`; short clauses repeat their first row.

        Every clause must have at least one row.
        """
        most = max(map(len, self.members))
        return torch.tensor([[*rows, *[rows[0]] * (most - len(rows))] for rows in self.members])

    def rows(self, which: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The coefficients of the rows `which`, `[1, len(which), *output_shape]`."""
        chosen = self.coefficients[which].to(device, dtype)
        return chosen.reshape(1, len(which), *self.graph[self.graph.output].shape)

    def deviations(self, which: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        """Return how far coefficients of `rows(which, dtype, device)` may be from the exact ones.

        The result `[1, len(which), *output_shape]` has the same dtype and satisfies
        `|exact − row| ≤ deviation`. It is None where all coefficients are exact.
        """
        exact = self.coefficients[which]
        moved = (exact - exact.to(dtype).double()).abs()
        if self.deviation is not None:
            own = self.deviation[which]
            # The sum of two deviations rounds, so it is rounded up.
            both = torch.nextafter(moved + own, torch.full_like(own, torch.inf))
            moved = torch.where((moved > 0) & (own > 0), both, moved + own)
        if not moved.any():
            return None
        shape = self.graph[self.graph.output].shape
        return rounded_up(moved, dtype).to(device).reshape(1, len(which), *shape)

    def only(self, clauses: Tensor) -> Margins:
        """Return the same rows with fewer clauses: only `clauses` must be refuted."""
        return replace(self, members=tuple(self.members[clause] for clause in clauses.tolist()))

    def slack(self, output: Tensor, dtype: torch.dtype) -> Tensor:
        """Return what a margin must exceed to count as positive, `[S]`.

        `output` is an output of typical size.
        """
        scale = self.bound.abs() + self.coefficients.abs() @ output.double().flatten().abs().cpu()
        return ROUNDINGS * torch.finfo(dtype).eps * scale

    def dense(self, which: Tensor, dtype: torch.dtype, device: torch.device) -> DenseRows:
        """Return the rows `which` together with how far they may lie from the exact ones."""
        return DenseRows(self.rows(which, dtype, device), self.deviations(which, dtype, device))

    def clauses(self, margins: Tensor) -> Tensor:
        """The best margin of each clause: `[D, S]` → `[D, clauses]`; NaN only if all are NaN."""
        lowest = margins.nan_to_num(nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf)
        most = max([1, *map(len, self.members)])
        table = torch.full((len(self.members), most), -1)
        for place, rows in enumerate(self.members):
            table[place, : len(rows)] = torch.tensor(rows, dtype=torch.long)
        padded = torch.cat([lowest, lowest.new_full((len(lowest), 1), -torch.inf)], dim=1)
        return padded[:, table.to(margins.device)].amax(2)


def rounded_up(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the smallest numbers of `dtype` that are at least `values`."""
    near = values.to(dtype)
    above = torch.nextafter(near, torch.full_like(near, torch.inf))
    return torch.where(near.double() < values.double(), above, near)


def margins_of(graph: Graph, clauses: Sequence[Clause]) -> Margins:
    """Make the rows of `clauses`.

    Where an atom has terms of inputs, the rows belong to a graph whose output is the concatenation
    of input and output. A clause without atoms has no rows: it holds everywhere and can never be
    refuted.
    """
    atoms = list(dict.fromkeys(atom for clause in clauses for atom in clause.atoms))
    place = {atom: number for number, atom in enumerate(atoms)}
    offset = 0
    if any(atom.inputs for atom in atoms):
        offset = graph[graph.input].size
        graph = with_inputs_joined(graph)
    coefficients = torch.zeros(len(atoms), graph[graph.output].size, dtype=torch.float64)
    deviation: Tensor | None = None
    for number, atom in enumerate(atoms):
        joined = [*atom.inputs, *((offset + index, value) for index, value in atom.outputs)]
        for index, value in joined:
            nearest = float(value)
            coefficients[number, index] = nearest
            if not is_float(value, nearest):
                if deviation is None:
                    deviation = torch.zeros_like(coefficients)
                deviation[number, index] = rounded(abs(value - Fraction(nearest)), up=True)
    return Margins(
        graph,
        coefficients,
        torch.tensor([rounded(atom.bound, up=True) for atom in atoms], dtype=torch.float64),
        torch.tensor([atom.strict for atom in atoms]),
        tuple(tuple(place[atom] for atom in clause.atoms) for clause in clauses),
        deviation,
    )


def with_inputs_joined(graph: Graph) -> Graph:
    """Return `graph` with the flat concatenation of its input and output as its new output."""
    parts = []
    for name in (graph.input, graph.output):
        node = graph[name]
        parts.append(reshape_node(f"{name}:flat", name, (node.size,), node.shape))
    joined = concat_node("input and output", parts)
    return replace(graph, nodes=(*graph.nodes, *parts, joined), output=joined.name)
