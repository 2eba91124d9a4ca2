"""Follows elements of −∞, with which networks hide positions from a softmax.

A node with such elements is zero there, and `Builder.masked` holds which they are. Only operators
that move elements, add to them or scale them pass a mask on; a softmax uses it, and all others
refuse it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from boundmesh.graph.build import Builder, Constant
from boundmesh.operators.node import Node
from boundmesh.read.constants import evaluate
from boundmesh.read.translate import Step, Value

USING = ("Softmax", "LogSoftmax", "IsNaN")
ADDING = ("Add", "Sum", "Sub")
SCALING = ("Mul", "Div")
MOVING = frozenset(
    ("Cast", "CastLike", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements",
     "GatherND", "Identity", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile",
     "Transpose", "Unsqueeze")
)  # fmt: skip


def enter_masks(step: Step, node: ir.Node, values: Sequence[Value]) -> None:
    """Give the results of a step the masks that follow from those of its operands.

    Raises UnsupportedError for an operator that has no result where an operand is −∞.
    """
    build = step.build
    masks = [_mask(build, value) for value in step.operands]
    if step.op in USING or all(mask is None for mask in masks):
        return
    if step.op == "Where":
        _enter(build, values[0], np.where(step.constant(0, "condition"), *_filled(step, masks)[1:]))
    elif step.op in ADDING and (step.op != "Sub" or masks[1] is None):
        _enter(build, values[0], np.any(np.broadcast_arrays(*_filled(step, masks)), axis=0))
    elif step.op in SCALING and _positive(step, masks):
        _enter(build, values[0], np.broadcast_to(_filled(step, masks)[0], values[0].shape))
    elif step.op in MOVING and len(masks) == 1 + masks[1:].count(None):
        operands = (Constant("", np.asarray(masks[0], np.float32)), *step.operands[1:])
        moved = evaluate(replace(step, operands=operands), node)
        for value, mask in zip(values, moved, strict=False):
            _enter(build, value, mask.array != 0)
    else:
        raise step.refuse("elements of an operand are −∞, which only a Softmax can use")


def _mask(build: Builder, value: Value | None) -> np.ndarray | None:
    return build.masked.get(value.name) if isinstance(value, Node) else None


def _filled(step: Step, masks: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """Return the masks, with one of no element where there is none."""
    return [
        np.zeros(() if value is None else value.shape, bool) if mask is None else mask
        for value, mask in zip(step.operands, masks, strict=True)
    ]


def _positive(step: Step, masks: Sequence[np.ndarray | None]) -> bool:
    """Return True if the first operand is multiplied with, or divided by, positive constants."""
    factor = step.operand(1)
    return masks[0] is not None and isinstance(factor, Constant) and bool(np.all(factor.array > 0))


def _enter(build: Builder, value: Value, mask: np.ndarray) -> None:
    """Add a mask to the one that the value has already."""
    if isinstance(value, Node) and mask.any():
        known = build.masked.get(value.name)
        whole = np.array(np.broadcast_to(mask, value.shape))
        build.masked[value.name] = whole if known is None else known | whole
