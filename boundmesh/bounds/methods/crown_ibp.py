"""CROWN-IBP is one backward sweep over intervals of the start nodes (arXiv 1906.06316)."""

from __future__ import annotations

from boundmesh.bounds.methods.crown import crown
from boundmesh.bounds.methods.ibp import no_looser
from boundmesh.bounds.methods.method import BoundMethod, MethodOptions, RowBounds
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.sweep.rows import DenseRows


def _bound(problem: Problem, rows: DenseRows, options: MethodOptions) -> RowBounds:
    lower, bounds = crown(problem, rows, by_rows=False)
    return RowBounds(no_looser(problem, rows, lower), bounds)


CROWN_IBP = BoundMethod("crown-ibp", _bound)
