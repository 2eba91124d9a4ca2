"""Refutes clauses of small networks in exact arithmetic, where no floating-point bound can.

A condition such as `y < b` on outputs whose minimum is b has a margin of exactly 0. Rounding hides
that however far a region is split. A network of few neurons that is linear in pieces is divided
into its pieces instead, and in each piece the conditions are linear inequalities of the inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from time import monotonic

import numpy as np

from boundmesh.graph.graph import Graph
from boundmesh.operators.exact_forms import AFFINE, KNOWN, PIECES, Form
from boundmesh.proof.simplex import feasible
from boundmesh.proof.standing import Standing
from boundmesh.property import Atom, Box, Clause, Property
from boundmesh.runtime.clock import Clock

# Coefficients that one pass through the network computes, at most.
WORK = 100_000
# Inputs that vary, at most.
INPUTS = 16
PIECES_AT_MOST = 256
# Neurons that bounds leave unstable, at most.
UNSTABLE_AT_MOST = 64
# Seconds that all clauses take together, at most.
SECONDS = 3.0


def settle(standing: Standing, graph: Graph, property: Property, clock: Clock) -> None:
    """Mark open clauses of the standing as settled where exact arithmetic refutes them.

    The result holds in real arithmetic. Nothing is tried where bounds leave so many neurons
    unstable that the pieces are too many.
    """
    counted = [reached.unstable for reached in standing.reached if reached.unstable]
    if counted and sum(some for some, _ in counted[-1].values()) > UNSTABLE_AT_MOST:
        return
    deadline = monotonic() + min(SECONDS, clock.left / 4)
    still = standing.open
    for domain, case in enumerate(standing.question.cases):
        region = property.cases[case].region
        if not isinstance(region, Box) or not still[domain].any():
            continue
        network = ExactNetwork.of(graph, region)
        if network is None:
            return
        for place in still[domain].nonzero().flatten().tolist():
            clock.check()
            if clock.agree(network.refutes(property.cases[case].clauses[place], deadline)):
                standing.settled[domain, place] = True


@dataclass(frozen=True)
class ExactNetwork:
    """A network over a box, whose weights and ends are exact.

    graph    the network
    weights  its weights, as arrays of Fractions
    start    the form of the input; inputs that the box fixes are constants
    free     the places of the other inputs, which count from the box's lower ends
    widths   the widths of their ranges
    """

    graph: Graph
    weights: Mapping[str, np.ndarray]
    start: Form
    free: tuple[int, ...]
    widths: list[Fraction]

    @staticmethod
    def of(graph: Graph, box: Box) -> ExactNetwork | None:
        """Make the network of a graph; None where it is too large or its weights are rounded."""
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
        weights = {name: _fractions(graph.weights[name]) for name in used}
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
            choices = todo.pop()
            output, rows, undecided = self.forward(choices)
            if output is None:
                todo += [{**choices, undecided: side} for side in (True, False)]
                continue
            inputs = self.start.reshape(len(self.start), -1)
            atoms = [_row(atom, inputs, output) for atom in clause.atoms]
            if feasible([*rows, *atoms], self.widths):
                return False
        return not todo

    def forward(
        self, choices: Mapping[tuple[str, int], bool]
    ) -> tuple[Form | None, list[tuple[Sequence[Fraction], Fraction, bool]], tuple[str, int]]:
        """Compute the output's form in the piece of these choices, and the piece's inequalities.

        The form is None where a neuron is not decided, which the third result then names.
        """
        values: dict[str, Form] = {self.graph.input: self.start}
        rows: list[tuple[Sequence[Fraction], Fraction, bool]] = []
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
                    chosen = choices.get((node.name, neuron))
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


def _row(atom: Atom, inputs: Form, outputs: Form) -> tuple[Sequence[Fraction], Fraction, bool]:
    total = np.full(len(inputs), Fraction(0), dtype=object)
    for terms, forms in ((atom.inputs, inputs), (atom.outputs, outputs)):
        for place, coefficient in terms:
            total = total + coefficient * forms[:, place]
    return total[1:].tolist(), atom.bound - total[0], atom.strict


def _end(box: Box, place: int, up: bool) -> Fraction:
    ends, exact = (box.upper, box.exact_upper) if up else (box.lower, box.exact_lower)
    known = exact.get(place)
    return Fraction(float(ends.reshape(-1)[place])) if known is None else known


def _fractions(array: np.ndarray) -> np.ndarray:
    exact = np.empty(array.size, dtype=object)
    exact[:] = [Fraction(value) for value in array.reshape(-1).tolist()]
    return exact.reshape(array.shape)
