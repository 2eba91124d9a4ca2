"""Linear functions of the input that bound rows of the output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from boundmesh.bounds.methods.crown import errors_on
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.fixed_lines import FixedLines
from boundmesh.bounds.sweep.rounding_errors import lowered
from boundmesh.bounds.sweep.rows import DenseRows, Tile
from boundmesh.bounds.sweep.whole_rows import input_rows
from boundmesh.operators.interval import Interval


@dataclass(frozen=True)
class Affine:
    """S linear functions `coefficients · x + constant` of the flat input x.

    coefficients  `[S, inputs]`, float64
    constant      `[S]`, float64
    """

    coefficients: np.ndarray
    constant: np.ndarray

    def __repr__(self) -> str:
        rows, inputs = self.coefficients.shape
        return f"Affine({rows} functions of {inputs} inputs)"


@torch.no_grad()
def lines_below(problem: Problem, rows: DenseRows, bounds: Mapping[str, Interval]) -> list[Affine]:
    """Compute linear functions of x below the rows `[1, S, *output_shape]`, on each region."""
    program, coefficients = problem.program, rows.coefficients
    tile, errors = Tile(program.target, slice(0, rows.count), rows), errors_on(problem, bounds)
    draw = FixedLines(bounds)
    carried = input_rows(problem.layout, program, tile, draw, frozenset(), errors)
    at_input = carried.at_input(program.graph.input, coefficients)
    size, count = program.graph[program.graph.input].size, coefficients.shape[1]
    bias = coefficients.new_zeros(1, count) if carried.bias is None else carried.bias
    regions = problem.region.domains
    constant = lowered(bias, carried.error, errors).expand(regions, count)
    flat = at_input.flatten(2) if at_input.dim() else at_input
    slope = flat.expand(regions, count, size)
    return [
        Affine(region_slope.double().cpu().numpy(), region_constant.double().cpu().numpy())
        for region_slope, region_constant in zip(slope, constant, strict=True)
    ]
