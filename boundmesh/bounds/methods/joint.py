"""Tightens CROWN's lines for boxes of few inputs, where an operator's inputs are related.

A network that multiplies values which depend on the same inputs, as the change of a Lyapunov
function along a step of a controlled system does, loses to McCormick's planes what no input can
reach. The rows that bound the factors are affine in the inputs, so they show how these are related.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from boundmesh.bounds.methods.crown import Intermediate
from boundmesh.bounds.methods.problem import Problem
from boundmesh.bounds.relaxation.fixed_lines import FixedLines
from boundmesh.bounds.relaxation.joint_lines import FixedJointLines
from boundmesh.bounds.sweep.region import BoxRegion
from boundmesh.bounds.sweep.rounding_errors import lowered
from boundmesh.bounds.sweep.rows import Tile, both_sides
from boundmesh.bounds.sweep.whole_rows import input_rows
from boundmesh.operators import RULES
from boundmesh.operators.affine_forms import AffineForms, between

MOST_INPUTS = 16
"""The gain of a row costs about n³ operations with n free inputs, so there are at most so many."""
MOST_FACTORS = 64
"""A factor takes two rows for each of its neurons, so it has at most so many."""


def related(problem: Problem) -> frozenset[str]:
    """Return the start nodes whose affine forms `joint_lines` computes; empty where it has no use.

    They are all inputs of operators with the rule `joint_gain`.
    """
    region, graph = problem.region, problem.program.graph
    if not isinstance(region, BoxRegion) or int(_free(region).sum()) > MOST_INPUTS:
        return frozenset()
    readers = [n for n in problem.program.nonlinear if RULES[n.op].joint_gain is not None]
    few = [n for n in readers if max(graph[name].size for name in n.inputs) <= MOST_FACTORS]
    return frozenset(name for node in few for name in node.inputs)


@torch.no_grad()
def joint_lines(
    problem: Problem, intermediate: Intermediate, names: frozenset[str]
) -> FixedLines | FixedJointLines:
    """Return CROWN's relaxations, with the gain of the relation between the values `names`.

    `intermediate` are bounds of the start nodes of `problem`, whose region is a box.
    """
    draw = FixedLines(intermediate.sharpest)
    if not names:
        return draw
    forms = {name: forms_of(problem, name, draw, intermediate) for name in names}
    return FixedJointLines(draw, intermediate.sharpest, forms)


def forms_of(
    problem: Problem, name: str, draw: FixedLines, intermediate: Intermediate
) -> AffineForms:
    """Compute the affine forms of a node's neurons, from the two rows of each."""
    region, graph = problem.region, problem.program.graph
    assert isinstance(region, BoxRegion)
    neurons = torch.arange(graph[name].size, device=region.lower.device)
    rows = both_sides(neurons, region.lower.dtype)
    tile = Tile(name, slice(0, rows.count), rows)
    carried = input_rows(
        problem.layout, problem.program, tile, draw, frozenset(), intermediate.errors
    )
    box = region.lower.flatten(1).double(), region.upper.flatten(1).double()
    shape, error = (len(box[0]), rows.count), carried.total_error(graph.input)
    slopes, bias = carried.dense_at(graph.input), carried.bias
    zero = box[0].new_zeros(())
    whole = (zero if slopes is None else slopes.flatten(2).double()).expand(*shape, box[0].shape[1])
    constants = (zero if bias is None else bias.double()).expand(shape)
    constants = lowered(constants, None if error is None else error.double(), intermediate.errors)
    found_forms = between(
        whole[:, 0::2], constants[:, 0::2], -whole[:, 1::2], -constants[:, 1::2], box
    )
    # The others are constants of every form.
    return replace(found_forms, slopes=found_forms.slopes[..., _free(region)])


def _free(region: BoxRegion) -> Tensor:
    """Return the mask `[inputs]` of inputs that vary in some domain."""
    return (region.lower < region.upper).flatten(1).any(0)
