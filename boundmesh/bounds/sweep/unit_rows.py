"""Pulls unit rows back through their start node: they select rows of its weight W.

The row of neuron i at the inputs is `sign·W[i]`, so no product is computed. Row i of W stands in
the part that contains output i, so only the parts with the wanted rows are fetched.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from boundmesh.bounds.sweep.node_weights import (
    NodeWeights,
    Part,
    Visit,
    is_divisible,
    multiplies_one_vector,
)
from boundmesh.bounds.sweep.rows import Tile, UnitRows
from boundmesh.operators import RULES
from boundmesh.operators.linear_bounds import Pulled
from boundmesh.operators.node import Node


def needed(node: Node, tiles: Sequence[Tile]) -> Visit:
    """Create the visit of a start node. Unit rows need only the outputs of their neurons."""
    rows = [tile.rows for tile in tiles]
    units = [unit_rows.places for unit_rows in rows if isinstance(unit_rows, UnitRows)]
    if not multiplies_one_vector(node) or len(units) < len(rows):
        return Visit(node)
    return Visit(node, np.concatenate(units))


def pull_units(node_weights: NodeWeights, rows: Sequence[UnitRows]) -> list[Pulled] | None:
    """Pull unit rows back through an affine node; None if its operator has no rule for them."""
    node = node_weights.node
    rule = None if node.is_input else RULES[node.op].pull_units
    if rule is None:
        return None
    if not is_divisible(node) or node_weights.whole is not None:
        undivided = node_weights.whole is not None
        weights = (node_weights.whole, *node_weights.weights) if undivided else node_weights.tensors
        whole = [rule(node, weights, tile.index, tile.sign) for tile in rows]
        known = [pulled_tile for pulled_tile in whole if pulled_tile is not None]
        return known if len(known) == len(rows) else None
    if not multiplies_one_vector(node):
        return None
    pulled: list[list[tuple[slice, Pulled]]] = [[] for _ in rows]
    for part in node_weights.parts:
        weights = (part.weight, *node_weights.weights)
        for tile, runs in zip(rows, pulled, strict=True):
            for run in _runs(tile.places, part, first=not runs):
                pulled_run = rule(node, weights, tile.index[run], tile.sign[run], part.low)
                assert pulled_run is not None
                runs.append((run, pulled_run))
    return [_in_order(runs) for runs in pulled]


def _runs(places: np.ndarray, part: Part, first: bool) -> list[slice]:
    """Return the runs of consecutive rows whose neurons lie in the part.

    If there are no rows at all, the first part gets one empty run.
    """
    if not len(places):
        return [slice(0, 0)] if first else []
    inside = (places >= part.low) & (places < part.high)
    if inside.all():
        return [slice(0, len(places))]
    if not inside.any():
        return []
    edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
    return [slice(int(low), int(high)) for low, high in edges.reshape(-1, 2)]


def _in_order(runs: list[tuple[slice, Pulled]]) -> Pulled:
    """Concatenate the rows that the parts pulled back, in the order of the tile."""
    if len(runs) == 1:
        return runs[0][1]
    pulled = [run for _, run in sorted(runs, key=lambda pair: pair[0].start)]
    biases = [run.bias for run in pulled if run.bias is not None]
    coefficients = torch.cat([run.only for run in pulled], dim=1)
    return Pulled((coefficients,), torch.cat(biases, dim=1) if biases else None)
