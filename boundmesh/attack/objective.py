"""The objective of the attack: how far a point is from satisfying a clause."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from boundmesh.property import Clause


class Objective:
    """Computes the excess of every distinct atom: `(⟨a, x⟩ + ⟨c, y⟩ − bound) / ‖(a, c)‖₁`.

    An atom holds where its excess is ≤ 0. A clause holds where all of its atoms hold. A descent
    aims at an excess of −`beyond`, so that rounding does not make it positive again.
    """

    def __init__(self, clauses: Sequence[Clause], dtype: torch.dtype, device: torch.device) -> None:
        self.beyond = torch.tensor(1e-5, dtype=dtype, device=device)
        atoms = list(dict.fromkeys(atom for clause in clauses for atom in clause.atoms))
        row = {atom: place for place, atom in enumerate(atoms)}
        inputs = sorted({place for atom in atoms for place, _ in atom.inputs})
        outputs = sorted({place for atom in atoms for place, _ in atom.outputs})
        columns = {("x", place): column for column, place in enumerate(inputs)}
        columns |= {("y", place): len(inputs) + column for column, place in enumerate(outputs)}
        coefficients = torch.zeros(len(atoms), len(columns), dtype=torch.float64)
        for atom in atoms:
            for kind, terms in (("x", atom.inputs), ("y", atom.outputs)):
                for place, value in terms:
                    coefficients[row[atom], columns[kind, place]] = float(value)
        norm = coefficients.abs().sum(1).clamp(min=torch.finfo(torch.float64).tiny)
        bound = torch.tensor([float(atom.bound) for atom in atoms], dtype=torch.float64)
        self.inputs = torch.tensor(inputs, dtype=torch.long, device=device)
        self.outputs = torch.tensor(outputs, dtype=torch.long, device=device)
        self.coefficients = (coefficients / norm[:, None]).to(device, dtype)
        self.bound = (bound / norm).to(device, dtype)
        longest = max((len(clause.atoms) for clause in clauses), default=0)
        members = torch.full((len(clauses), max(longest, 1)), len(atoms))
        for place, clause in enumerate(clauses):
            for column, atom in enumerate(clause.atoms):
                members[place, column] = row[atom]
        # Rows of `members` are padded with the number of atoms, the place of an extra column of
        # excesses.
        self.members = members.to(device)
        self.width = len(clauses) * members.shape[1] + len(atoms)

    def excess(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute the excess `[N, atoms + 1]` at inputs x `[N, *]` with outputs y `[N, *]`.

        It is ≤ 0 where an atom holds. The last column is −∞; it pads clauses of fewer atoms.
        """
        used = torch.cat([x.flatten(1)[:, self.inputs], y.flatten(1)[:, self.outputs]], dim=1)
        found = used @ self.coefficients.mT - self.bound
        return torch.cat([found, found.new_full((len(found), 1), -torch.inf)], dim=1)

    def worst(self, excess: Tensor) -> Tensor:
        """Return the largest excess of each clause's atoms, `[N, clauses]`; NaN counts as +∞."""
        return excess.nan_to_num(nan=torch.inf, neginf=-torch.inf)[:, self.members].amax(2)

    def loss(self, excess: Tensor, target: Tensor) -> Tensor:
        """Compute `‖(excess + beyond)⁺‖₂` over the atoms of each point's target clause, `[N]`."""
        wanted = excess.gather(1, self.members[target])
        result: Tensor = torch.linalg.vector_norm((wanted + self.beyond).clamp(min=0), dim=1)
        return result
