"""Reads If with a constant condition, and unrolls Loop with constant turns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from boundmesh.graph.build import Builder, Constant
from boundmesh.operators.node import Node
from boundmesh.read.translate import Step, Value

CONTROL = ("If", "Loop")
"""The operators with subgraphs that are read."""

MOST_TURNS = 10_000
"""The most turns of a loop that are read."""

Run = Callable[[Builder, ir.Graph, dict[str, Value], int], None]
"""Adds the values of a graph's nodes to a dictionary of values by name."""


def chosen(step: Step, values: dict[str, Value], run: Run) -> tuple[Value, ...]:
    """Return the results of the branch that an If with a constant condition takes."""
    condition = step.constant(0, "condition")
    branch = step.attribute("then_branch" if np.all(condition) else "else_branch")
    if not isinstance(branch, ir.Graph):
        raise step.refuse("one of its branches is missing")
    inner = dict(values)
    run(step.build, branch, inner, step.opset)
    return tuple(inner[value.name or ""] for value in branch.outputs)


def repeated(step: Step, values: dict[str, Value], run: Run) -> tuple[Value, ...]:
    """Return the results of a Loop, whose body is read once for each of its constant turns.

    The body maps the turn, a condition and the carried values to a condition, the carried values
    and values of which each turn adds one to a list.
    """
    body = step.attribute("body")
    if not isinstance(body, ir.Graph):
        raise step.refuse("its body is missing")
    most, going = step.optional(0, "number of turns"), step.optional(1, "condition")
    carried = [step.value(place) for place in range(2, len(step.operands))]
    lists: list[list[Value]] = [[] for _ in range(len(body.outputs) - 1 - len(carried))]
    turns = None if most is None else int(np.ravel(most)[0])
    proceed, turn = going is None or bool(np.all(going)), 0
    while proceed and (turns is None or turn < turns):
        if turn >= MOST_TURNS:
            raise step.refuse(f"it takes more than {MOST_TURNS} turns")
        inner = dict(values)
        given = (Constant("", np.asarray(turn)), Constant("", np.asarray(True)), *carried)
        inner.update(zip((value.name or "" for value in body.inputs), given, strict=True))
        run(step.build, body, inner, step.opset)
        condition, *rest = (inner[value.name or ""] for value in body.outputs)
        if isinstance(condition, Node):
            raise step.refuse("its condition depends on the network's input")
        turn, proceed, carried = turn + 1, bool(np.all(condition.array)), rest[: len(carried)]
        for place, value in enumerate(rest[len(carried) :]):
            lists[place].append(value)
    return (*carried, *(listed(step, results) for results in lists))


def listed(step: Step, values: list[Value]) -> Value:
    """Return the values of all turns of a loop, along a new first axis."""
    if not values:
        raise step.refuse("a list of its results is empty")
    build = step.build
    nodes = [build.constant(value) if isinstance(value, Constant) else value for value in values]
    lifted = [build.reshape(node, (1, *node.shape)) for node in nodes]
    return lifted[0] if len(lifted) == 1 else build.add("concat", *lifted, axis=0)
