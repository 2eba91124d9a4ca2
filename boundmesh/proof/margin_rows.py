"""Makes the rows of a network's output whose bounds refute the clauses of a property."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import torch
from torch import Tensor

from boundmesh.graph.graph import Graph
from boundmesh.operators.reshape import reshape_node
from boundmesh.operators.select import concat_node
from boundmesh.proof.margins import ChoiceRows, Margins
from boundmesh.property import Atom, Clause
from boundmesh.rational import is_float, rounded

Terms = Sequence[tuple[int, Fraction]]
"""The indices of the outputs that an atom has terms of, and their exact coefficients."""


def margins_of(graph: Graph, clauses: Sequence[Clause]) -> Margins:
    """Make the rows of `clauses`.

    Where an atom has terms of inputs, the rows belong to a graph whose output is the concatenation
    of input and output. Rows of a graph that is extended belong to the extended graph. A clause
    without atoms has no rows: it holds everywhere and can never be refuted.
    """
    atoms = list(dict.fromkeys(atom for clause in clauses for atom in clause.every_atom))
    row_of = {atom: number for number, atom in enumerate(atoms)}
    offset, places = 0, {} if graph.extended is None else graph.extended.places
    graph = graph.bounded
    if any(atom.inputs for atom in atoms):
        offset = graph[graph.input].size
        graph = with_inputs_joined(graph)

    def terms(atom: Atom) -> Terms:
        outputs = atom.outputs
        if outputs in places:
            outputs = ((places[outputs], Fraction(1)),)
        return [*atom.inputs, *((offset + index, value) for index, value in outputs)]

    coefficients, deviation = _matrix(list(map(terms, atoms)), graph[graph.output].size)
    return Margins(
        graph,
        coefficients,
        torch.tensor([rounded(atom.bound, up=True) for atom in atoms], dtype=torch.float64),
        torch.tensor([atom.strict for atom in atoms]),
        tuple(tuple(row_of[atom] for atom in clause.atoms) for clause in clauses),
        deviation,
        _choices_of(clauses, row_of),
        tuple(atoms),
    )


def _matrix(rows: Sequence[Terms], size: int) -> tuple[Tensor, Tensor | None]:
    """Return a matrix `[S, size]`, float64, nearest to exact rows, and how far it is from them.

    The second matrix is None where the first is exact, and else rounded up.
    """
    nearest = torch.zeros(len(rows), size, dtype=torch.float64)
    away: Tensor | None = None
    for number, terms in enumerate(rows):
        for index, value in terms:
            near = float(value)
            nearest[number, index] = near
            if not is_float(value, near):
                away = torch.zeros_like(nearest) if away is None else away
                away[number, index] = rounded(abs(value - Fraction(near)), up=True)
    return nearest, away


def _choices_of(
    clauses: Sequence[Clause], row_of: Mapping[Atom, int]
) -> tuple[tuple[ChoiceRows, ...], ...]:
    if not any(clause.choices for clause in clauses):
        return ()
    return tuple(
        tuple(
            tuple(tuple(row_of[atom] for atom in atoms) for atoms in choice.alternatives)
            for choice in clause.choices
        )
        for clause in clauses
    )


def with_inputs_joined(graph: Graph) -> Graph:
    """Return `graph` with the flat concatenation of its input and output as its new output."""
    parts = []
    for name in (graph.input, graph.output):
        node = graph[name]
        parts.append(reshape_node(f"{name}:flat", name, (node.size,), node.shape))
    joined = concat_node("input and output", parts)
    return replace(graph, nodes=(*graph.nodes, *parts, joined), output=joined.name)
