"""Evaluates a small network that is linear in pieces over a box, in exact arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from time import monotonic

import numpy as np

from boundmesh.graph.graph import Graph
from boundmesh.operators.exact_forms import AFFINE, KNOWN, PIECES, Form
from boundmesh.proof.simplex import feasible
from boundmesh.property import Atom, Box, Choice, Clause

Row = tuple[Sequence[Fraction], Fraction, bool]
"""The coefficients of an inequality, its right-hand side, and True where it is strict."""

# Coefficients that one pass through the network computes, at most.
WORK = 100_000
# Inputs that vary, at most.
INPUTS = 16
PIECES_AT_MOST = 256


@dataclass(frozen=True)
class ExactNetwork:
    """A network over a box, whose weights and ends are exact.

    graph    the network
    weights  its weights, as arrays of Fractions
    start    the form of the input; inputs that the box fixes are constants
    free     the indices of the other inputs, which count from the box's lower ends
    widths   the widths of their ranges
    """

    graph: Graph
    weights: Mapping[str, np.ndarray]
    start: Form
    free: tuple[int, ...]
    widths: list[Fraction]

    @staticmethod
    def of(
        graph: Graph, box: Box, known: dict[str, np.ndarray] | None = None
    ) -> ExactNetwork | None:
        """Make the network of a graph; None where it is too large or its weights are rounded.

        Exact weights are kept in `known` for the next box.
        """
        lower, upper = ([_end(box, i, up) for i in range(box.size)] for up in (False, True))
        free = tuple(i for i in range(box.size) if lower[i] < upper[i])
        used = {name for node in graph.nodes for name in node.weights}
        if any(graph.formed[name].depth for name in used if name in graph.formed):
            return None
        if any(not node.is_input and node.op not in KNOWN for node in graph.nodes):
            return None
        numbers = sum(graph.weights[name].size for name in used)
        values = sum(node.size for node in graph.nodes)
        if len(free) > INPUTS or (numbers + values) * (1 + len(free)) > WORK:
            return None
        start = np.full((1 + len(free), box.size), Fraction(0), dtype=object)
        start[0] = lower
        for column, i in enumerate(free, start=1):
            start[column, i] = Fraction(1)
        weights = {} if known is None else known
        for name in used - weights.keys():
            weights[name] = _fractions(graph.weights[name])
        start = start.reshape(1 + len(free), *graph[graph.input].shape)
        return ExactNetwork(graph, weights, start, free, [upper[i] - lower[i] for i in free])

    def refutes(self, clause: Clause, deadline: float) -> bool:
        """Return True if no point of the box satisfies the clause in real arithmetic."""
        todo: list[dict[tuple[str, int], bool]] = [{}]
        for _ in range(PIECES_AT_MOST):
            if not todo:
                return True
            if monotonic() > deadline:
                return False
            sides = todo.pop()
            output, rows, undecided = self.forward(sides)
            if output is None:
                todo += [{**sides, undecided: side} for side in (True, False)]
                continue
            atoms = [self.row_of(atom, output) for atom in clause.atoms]
            if self.possible([*rows, *atoms], clause.choices, output, deadline):
                return False
        return not todo

    def possible(
        self, rows: list[Row], choices: Sequence[Choice], output: Form, deadline: float
    ) -> bool:
        """Return True if some point satisfies the rows and choices, or if time is up."""
        if monotonic() > deadline:
            return True
        if not feasible(rows, self.widths):
            return False
        if not choices:
            return True
        first, *rest = choices
        for alternative in first.alternatives:
            atom_rows = [self.row_of(atom, output) for atom in alternative]
            if self.possible([*rows, *atom_rows], rest, output, deadline):
                return True
        return False

    def row_of(self, atom: Atom, output: Form) -> Row:
        """Return an atom as an inequality of the free inputs."""
        return _row(atom, self.start.reshape(len(self.start), -1), output)

    def forward(
        self, sides: Mapping[tuple[str, int], bool]
    ) -> tuple[Form | None, list[Row], tuple[str, int]]:
        """Compute the output's form in the piece of these sides, and the piece's inequalities.

        The side of a neuron is the one of its two pieces that applies.
        The form is None where a neuron is not decided, which the third result then names.
        """
        values: dict[str, Form] = {self.graph.input: self.start}
        rows: list[Row] = []
        for node in self.graph.nodes:
            if node.is_input:
                continue
            weights = [self.weights[name] for name in node.weights]
            operands = [values[name] for name in node.inputs]
            if node.op in AFFINE:
                values[node.name] = AFFINE[node.op](node, weights, *operands)
                continue
            condition, above, below = (
                form.reshape(len(form), -1) for form in PIECES[node.op](node, weights, *operands)
            )
            result = above.copy()
            for neuron in range(node.size):
                low, high = self.range_of(condition[:, neuron])
                if low < 0 < high:
                    chosen = sides.get((node.name, neuron))
                    if chosen is None:
                        return None, rows, (node.name, neuron)
                    sign = -1 if chosen else 1
                    column = condition[:, neuron] * sign
                    rows.append((column[1:].tolist(), -column[0], False))
                else:
                    chosen = low >= 0
                if not chosen:
                    result[:, neuron] = below[:, neuron]
            values[node.name] = result.reshape(len(result), *node.shape)
        output = values[self.graph.output]
        return output.reshape(len(output), -1), rows, ("", 0)

    def range_of(self, form: np.ndarray) -> tuple[Fraction, Fraction]:
        """Return the least and the largest value of a linear form in the box.

        `form` is a constant, followed by one coefficient for each input in `free`.
        """
        low = high = form[0]
        for coefficient, width in zip(form[1:].tolist(), self.widths, strict=True):
            if coefficient > 0:
                high += coefficient * width
            elif coefficient < 0:
                low += coefficient * width
        return low, high


def _row(atom: Atom, inputs: Form, outputs: Form) -> Row:
    total = np.full(len(inputs), Fraction(0), dtype=object)
    for terms, forms in ((atom.inputs, inputs), (atom.outputs, outputs)):
        for index, coefficient in terms:
            total = total + coefficient * forms[:, index]
    return total[1:].tolist(), atom.bound - total[0], atom.strict


def _end(box: Box, index: int, up: bool) -> Fraction:
    ends, exact = (box.upper, box.exact_upper) if up else (box.lower, box.exact_lower)
    known = exact.get(index)
    return Fraction(float(ends.reshape(-1)[index])) if known is None else known


def _fractions(array: np.ndarray) -> np.ndarray:
    exact = np.empty(array.size, dtype=object)
    exact[:] = [Fraction(value) for value in array.reshape(-1).tolist()]
    return exact.reshape(array.shape)
