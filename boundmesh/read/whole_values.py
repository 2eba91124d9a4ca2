"""Follows how large whole numbers can get, as a type that cannot hold them would wrap around.

Bounds treat whole numbers as real ones. That is right as long as every result fits into its type.
The inputs lie within ±2²⁴, which a property is checked for, and each operator's result is bounded
from its operands. A network whose whole numbers may leave their type is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.whole import INTEGERS, MOST, is_whole, range_of
from boundmesh.operators.node import Node
from boundmesh.read.translate import Step, Value

MOVES = frozenset(
    ("Abs", "Clip", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements",
     "GatherND", "Identity", "Max", "Min", "Neg", "Pad", "ReduceMax", "ReduceMin", "Reshape",
     "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze",
     "Where", "Relu", "Mod", "Div")
)  # fmt: skip
"""Operators whose result is no larger than the largest of their operands."""

ROUNDING = frozenset(("Mean", "Pow", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean"))
"""Operators that round or grow beyond any use on whole numbers."""


def enter_whole(build: Builder, node: Node, dtype: str) -> None:
    """Note that an input holds whole numbers or truth values."""
    if is_whole(dtype):
        build.kinds[node.name] = "b" if dtype == "bool" else "i"
        build.types[node.name] = dtype
        build.reach[node.name] = float(min(max(map(abs, range_of(dtype))), MOST))


def reach_of(build: Builder, value: Value) -> float | None:
    """Return the largest magnitude of a whole value; None where it is not known."""
    if isinstance(value, Constant):
        if value.array.dtype.kind not in "iub" or not value.array.size:
            return None
        return float(np.abs(value.array.astype(np.float64)).max())
    if build.kinds.get(value.name) == "b":
        return 1.0
    return build.reach.get(value.name)


def total(reaches: Sequence[float], step: Step, result: Node) -> float:
    return sum(reaches)


def multiplied(reaches: Sequence[float], step: Step, result: Node) -> float:
    return float(np.prod(reaches))


def summed(reaches: Sequence[float], step: Step, result: Node) -> float:
    """Translate a sum over the axis of the first operand, or over all its elements."""
    first = step.value(0)
    terms = first.shape[-1] if step.op == "MatMul" else int(np.prod(first.shape))
    return float(np.prod(reaches)) * max(terms, 1)


GROWING: dict[str, Callable[[Sequence[float], Step, Node], float]] = {
    "Add": total,
    "Sub": total,
    "Sum": total,
    "Mul": multiplied,
    "MatMul": summed,
    "CumSum": summed,
    "ReduceSum": summed,
    "ReduceL1": summed,
}


def refuse_rounding(step: Step) -> None:
    """Raise UnsupportedError for an operator that computes otherwise with whole numbers."""
    for value in step.operands:
        if isinstance(value, Node) and step.build.kinds.get(value.name) == "i":
            if step.op in ROUNDING:
                raise step.refuse("it acts on whole numbers; cast them to float before it")
            return


def enter_reach(step: Step, values: Sequence[Value]) -> None:
    """Note how large the whole numbers of a step's results can get, and their types.

    Raises UnsupportedError where they may not fit into the type.
    """
    build = step.build
    for value in values:
        if not isinstance(value, Node) or build.kinds.get(value.name) != "i":
            continue
        if value.op == "top_places":
            # Its translation notes them: they are not those of the elements.
            continue
        dtype, reach = type_of(step), size_of(step, value)
        if dtype is not None:
            build.types[value.name] = dtype
        if reach is None:
            continue
        build.reach[value.name] = reach
        if dtype is not None and reach > np.iinfo(dtype).max:
            raise step.refuse(
                f"its whole numbers can reach {reach:.4g}, which {dtype} does not hold; cast to a "
                "wider type before it"
            )
        if dtype is not None and dtype.startswith("uint") and may_fall_below(step):
            raise step.refuse(f"its numbers may be below zero, and {dtype} holds none of these")


def may_fall_below(step: Step) -> bool:
    """Return True if a step can turn whole numbers into ones below zero."""
    first = step.operand(0)
    if step.op != "Cast" or not isinstance(first, Node):
        return step.op in ("Neg", "Sub")
    held = step.build.types.get(first.name, "int64")
    return held != "bool" and not held.startswith("uint")


def type_of(step: Step) -> str | None:
    """Return the type of a step's whole results; None where it is not known."""
    if step.op == "Cast":
        return INTEGERS.get(step.attribute("to"))
    if step.op in ("ArgMax", "ArgMin"):
        return "int64"
    for value in step.operands[1:] if step.op == "Where" else step.operands:
        if isinstance(value, Node) and value.name in step.build.types:
            return step.build.types[value.name]
    return None


def size_of(step: Step, result: Node) -> float | None:
    """Return the largest magnitude of a result; None where it is not known."""
    if step.op in ("ArgMax", "ArgMin"):
        first = step.value(0)
        return float(max(first.shape, default=1))
    if step.op not in MOVES and step.op not in GROWING and step.op != "Cast":
        return None
    # The index of a table is no part of its result, and the condition of a choice neither.
    skipped = {"Gather": (1,), "GatherElements": (1,), "GatherND": (1,), "Where": (0,),
               "Reshape": (1,), "Expand": (1,), "Tile": (1,), "Squeeze": (1,), "Unsqueeze": (1,),
               "Slice": (1, 2, 3, 4), "Split": (1,), "TopK": (1,), "ReduceSum": (1,),
               "ReduceMax": (1,), "ReduceMin": (1,), "ReduceL1": (1,), "CumSum": (1,),
               "Pad": (1, 3), "Trilu": (1,)}.get(step.op, ())  # fmt: skip
    operands = [
        value
        for place, value in enumerate(step.operands)
        if value is not None and place not in skipped
    ]
    reaches = [reach_of(step.build, value) for value in operands]
    known = [reach for reach in reaches if reach is not None]
    if len(known) < len(reaches) or not known:
        return None
    return GROWING[step.op](known, step, result) if step.op in GROWING else max(known)
