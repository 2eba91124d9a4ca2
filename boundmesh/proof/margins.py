"""Computes what bounds of rows prove: the margins of atoms, and of the clauses that atoms make up.

An atom `⟨a, x⟩ + ⟨c, y⟩ ≤ b` cannot hold where its margin, the lower bound of
`⟨a, x⟩ + ⟨c, y⟩ − b`, is positive. A clause is refuted when one of its atoms cannot hold;
a choice is refuted when each of its alternatives has such an atom, and a clause when one of its
choices is. A property is proved when every clause is refuted on every region.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from boundmesh.bounds.sweep.rows import DenseRows
from boundmesh.graph.graph import Graph
from boundmesh.property import Atom

# Bounds are computed in floating point: a margin is a proof only where it exceeds this many
# rounding errors of the numbers that it was made from.
ROUNDINGS = 16

ChoiceRows = tuple[tuple[int, ...], ...]
"""A choice: the rows of the atoms of each of its alternatives."""


@dataclass(frozen=True)
class Margins:
    """The S distinct atoms of some clauses as rows of `graph`'s output.

    graph         the network whose output the rows multiply
    coefficients  `[S, size of the output node]`, float64: nearest to the atoms' exact coefficients
    bound         `[S]`, float64: the atoms' exact bounds, rounded up, so that a value above it is
                  above the exact bound
    strict        `[S]`: True where the atom has `<`
    members       the rows of the atoms of each clause that must hold
    deviation     the shape of `coefficients`: at least as large as the distance of each coefficient
                  from the exact one; None where all are exact
    choices       for each clause its choices, as rows of the atoms of each alternative; empty where
                  no clause has a choice
    atoms         the atom of each row
    """

    graph: Graph
    coefficients: Tensor
    bound: Tensor
    strict: Tensor
    members: tuple[tuple[int, ...], ...]
    deviation: Tensor | None = None
    choices: tuple[tuple[ChoiceRows, ...], ...] = ()
    atoms: tuple[Atom, ...] = ()

    def choices_of(self, clause: int) -> tuple[ChoiceRows, ...]:
        """Return the choices of a clause."""
        return self.choices[clause] if self.choices else ()

    def rows_of(self, clause: int) -> tuple[int, ...]:
        """Return the rows of all atoms of a clause, those of its choices included."""
        rows = dict.fromkeys(self.members[clause])
        for choice in self.choices_of(clause):
            rows |= dict.fromkeys(row for alternative in choice for row in alternative)
        return tuple(rows)

    @cached_property
    def factored(self) -> Tensor:
        """The mask `[clauses]` of clauses that have choices."""
        return torch.tensor([bool(self.choices_of(i)) for i in range(len(self.members))])

    @property
    def table(self) -> Tensor:
        """The rows of the atoms of each clause that must hold, `[clauses, most]`.

        Short clauses repeat their first row. A clause that has no such row gets row 0, which means
        nothing.
        """
        known = [rows or (0,) for rows in self.members]
        most = max(map(len, known))
        return torch.tensor([[*rows, *[rows[0]] * (most - len(rows))] for rows in known])

    def rows(self, which: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return the coefficients of the rows `which`, `[1, len(which), *output_shape]`."""
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
            distance = self.deviation[which]
            # The sum of two deviations rounds, so it is rounded up.
            both = torch.nextafter(moved + distance, torch.full_like(distance, torch.inf))
            moved = torch.where((moved > 0) & (distance > 0), both, moved + distance)
        if not moved.any():
            return None
        shape = self.graph[self.graph.output].shape
        return rounded_up(moved, dtype).to(device).reshape(1, len(which), *shape)

    def only(self, clauses: Tensor) -> Margins:
        """Return the same rows with fewer clauses: only `clauses` must be refuted."""
        chosen = clauses.tolist()
        return replace(
            self,
            members=tuple(self.members[clause] for clause in chosen),
            choices=tuple(self.choices_of(clause) for clause in chosen) if self.choices else (),
        )

    def needed(self) -> tuple[Margins, Tensor]:
        """Return the same clauses without the rows that none of them has, and the rows kept."""
        used = {row for clause in range(len(self.members)) for row in self.rows_of(clause)}
        kept = torch.tensor(sorted(used) or [0])
        new_row = {int(row): position for position, row in enumerate(kept)}

        def moved(rows: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(new_row[row] for row in rows)

        margins = Margins(
            self.graph,
            self.coefficients[kept],
            self.bound[kept],
            self.strict[kept],
            tuple(map(moved, self.members)),
            None if self.deviation is None else self.deviation[kept],
            tuple(
                tuple(tuple(map(moved, choice)) for choice in choices) for choices in self.choices
            ),
            tuple(self.atoms[row] for row in kept) if self.atoms else (),
        )
        return margins, kept

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
        """Return the best margin of each clause `[D, clauses]` for margins `[D, S]` of its rows.

        It is NaN only if all of them are NaN.
        """
        lowest = margins.nan_to_num(nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf)
        ends = lowest.new_tensor([-torch.inf, torch.inf]).expand(len(lowest), 2)
        padded = torch.cat([lowest, ends], dim=1)
        best = padded[:, self._member_table.to(margins.device)].amax(2)
        for clause, table in self._choice_tables.items():
            of_choices = padded[:, table.to(margins.device)].amax(3).amin(2).amax(1)
            best[:, clause] = torch.maximum(best[:, clause], of_choices)
        return best

    @cached_property
    def _member_table(self) -> Tensor:
        """The rows of each clause, padded with the place S of an extra column, which holds −∞."""
        most, rows = max([1, *map(len, self.members)]), len(self.bound)
        padded = [[*members, *[rows] * (most - len(members))] for members in self.members]
        return torch.tensor(padded, dtype=torch.long).reshape(len(self.members), most)

    @cached_property
    def _choice_tables(self) -> Mapping[int, Tensor]:
        """The rows `[choices, most alternatives, most atoms]` of each clause that has choices.

        Short alternatives are padded with the place S of a column that holds −∞. Alternatives that
        are missing are padded with S + 1, where a column holds ∞.
        """
        rows, tables = len(self.bound), {}
        for clause in self.factored.nonzero().flatten().tolist():
            choices = self.choices_of(clause)
            most = max(map(len, choices))
            longest = max([1, *(len(atoms) for choice in choices for atoms in choice)])
            missing = [rows + 1] * longest
            tables[clause] = torch.tensor(
                [
                    [[*atoms, *[rows] * (longest - len(atoms))] for atoms in choice]
                    + [missing] * (most - len(choice))
                    for choice in choices
                ]
            ).reshape(len(choices), most, longest)
        return tables


def rounded_up(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the smallest numbers of `dtype` that are at least `values`."""
    near = values.to(dtype)
    above = torch.nextafter(near, torch.full_like(near, torch.inf))
    return torch.where(near.double() < values.double(), above, near)
