"""The objective of the attack: how far a point is from satisfying a clause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from boundmesh.property import Atom, Clause


class Objective:
    """Computes the excess of every distinct atom: `(⟨a, x⟩ + ⟨c, y⟩ − bound) / ‖(a, c)‖₁`.

    An atom holds where its excess is ≤ 0. A clause holds where all of its atoms hold, and one
    alternative of each of its choices. A descent aims at an excess of −`beyond`, so that rounding
    does not make it positive again.
    """

    def __init__(self, clauses: Sequence[Clause], dtype: torch.dtype, device: torch.device) -> None:
        self.beyond = torch.tensor(1e-5, dtype=dtype, device=device)
        atoms = list(dict.fromkeys(atom for clause in clauses for atom in clause.every_atom))
        row = {atom: number for number, atom in enumerate(atoms)}
        inputs = sorted({index for atom in atoms for index, _ in atom.inputs})
        outputs = sorted({index for atom in atoms for index, _ in atom.outputs})
        columns = {("x", index): column for column, index in enumerate(inputs)}
        columns |= {("y", index): len(inputs) + column for column, index in enumerate(outputs)}
        coefficients = torch.zeros(len(atoms), len(columns), dtype=torch.float64)
        for atom in atoms:
            for kind, terms in (("x", atom.inputs), ("y", atom.outputs)):
                for index, value in terms:
                    coefficients[row[atom], columns[kind, index]] = float(value)
        norm = coefficients.abs().sum(1).clamp(min=torch.finfo(torch.float64).tiny)
        bound = torch.tensor([float(atom.bound) for atom in atoms], dtype=torch.float64)
        self.inputs = torch.tensor(inputs, dtype=torch.long, device=device)
        self.outputs = torch.tensor(outputs, dtype=torch.long, device=device)
        self.coefficients = (coefficients / norm[:, None]).to(device, dtype)
        self.bound = (bound / norm).to(device, dtype)
        longest = max((len(clause.atoms) for clause in clauses), default=0)
        members = torch.full((len(clauses), max(longest, 1)), len(atoms))
        for number, clause in enumerate(clauses):
            for column, atom in enumerate(clause.atoms):
                members[number, column] = row[atom]
        # Rows of `members` are padded with the number of atoms, the index of an extra column of
        # excesses.
        self.members = members.to(device)
        self.choices = {
            number: _table(clause, row).to(device)
            for number, clause in enumerate(clauses)
            if clause.choices
        }
        numbers = [members.numel(), *(table.numel() for table in self.choices.values())]
        self.width = sum(numbers) + len(atoms)

    def excess(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute the excess `[N, atoms + 2]` at inputs x `[N, *]` with outputs y `[N, *]`.

        It is ≤ 0 where an atom holds. The last two columns are −∞ and ∞. They stand for atoms that
        a clause lacks, and for alternatives that a choice lacks.
        """
        used = torch.cat([x.flatten(1)[:, self.inputs], y.flatten(1)[:, self.outputs]], dim=1)
        found = used @ self.coefficients.mT - self.bound
        ends = (found.new_full((len(found), 1), end) for end in (-torch.inf, torch.inf))
        return torch.cat([found, *ends], dim=1)

    def worst(self, excess: Tensor) -> Tensor:
        """Return how far each clause is from holding, `[N, clauses]`; NaN counts as +∞.

        It is the largest excess of the atoms that must hold, and of the nearest alternative of each
        choice.
        """
        known = excess.nan_to_num(nan=torch.inf, neginf=-torch.inf)
        worst = known[:, self.members].amax(2)
        for clause, table in self.choices.items():
            nearest = known[:, table].amax(3).amin(2).amax(1)
            worst[:, clause] = torch.maximum(worst[:, clause], nearest)
        return worst

    def loss(self, excess: Tensor, target: Tensor) -> Tensor:
        """Compute `‖(excess + beyond)⁺‖₂` over the atoms of each point's target clause, `[N]`.

        Of a choice the atoms of the nearest alternative count.
        """
        wanted = excess.gather(1, self.members[target])
        for clause, table in self.choices.items():
            own = excess.gather(1, self._nearest(excess.detach(), table))
            own = torch.where((target == clause).unsqueeze(1), own, -torch.inf)
            wanted = torch.cat([wanted, own], dim=1)
        result: Tensor = torch.linalg.vector_norm((wanted + self.beyond).clamp(min=0), dim=1)
        return result

    def _nearest(self, excess: Tensor, table: Tensor) -> Tensor:
        """Return the atoms of the nearest alternative of each choice, one after the other.

        `table` has the indices `[choices, alternatives, atoms]` of the atoms. The result has the
        shape `[N, choices · atoms]`.
        """
        best = excess.nan_to_num(nan=torch.inf)[:, table].amax(3).argmin(2)
        return table[torch.arange(len(table), device=table.device), best].flatten(1)


def _table(clause: Clause, row: Mapping[Atom, int]) -> Tensor:
    """Return the indices `[choices, most alternatives, most atoms]` of the atoms of choices.

    An atom that an alternative lacks has the index `len(row)`, and all atoms of an alternative that
    a choice lacks have the index after it.
    """
    most = max(len(choice.alternatives) for choice in clause.choices)
    sizes = [len(atoms) for choice in clause.choices for atoms in choice.alternatives]
    table = torch.full((len(clause.choices), most, max([1, *sizes])), len(row) + 1)
    for number, choice in enumerate(clause.choices):
        for column, atoms in enumerate(choice.alternatives):
            table[number, column] = len(row)
            table[number, column, : len(atoms)] = torch.tensor([row[atom] for atom in atoms])
    return table
