"""ONNX operators that keep every element and give it another place, shape or type."""

from __future__ import annotations

import numpy as np

from boundmesh.operators.node import Shape
from boundmesh.read.translate.step import Step, Value, positive_axis, translates


@translates("Identity")
def identity(step: Step) -> Value:
    return step.node()


def refuse_training(step: Step) -> None:
    """Raise UnsupportedError where Dropout would draw random numbers."""
    if np.any(step.optional(2, "training_mode") or False):
        raise step.refuse("it is in training mode; export the network in evaluation mode")


@translates("Dropout")
def dropout(step: Step) -> Value:
    """Return the operand itself; the second output, the mask, is all true."""
    refuse_training(step)
    if not step.single:
        raise step.refuse("its mask is used; only its first output is supported")
    return step.node()


def reshaped(shape: Shape, target: list[int], zero_copies: bool) -> Shape:
    """Return the result shape of ONNX Reshape: 0 copies an axis, −1 takes the elements left."""
    new = [
        shape[axis] if length == 0 and zero_copies else length for axis, length in enumerate(target)
    ]
    if -1 in new:
        place = new.index(-1)
        rest = int(np.prod([length for length in new if length != -1], dtype=np.int64))
        size = int(np.prod(shape, dtype=np.int64))
        new[place] = size // rest if rest else 0
    return tuple(new)


def squeezed(shape: Shape, axes: list[int] | None) -> Shape:
    if axes is None:
        return tuple(length for length in shape if length != 1)
    dropped = {positive_axis(axis, len(shape)) for axis in axes}
    return tuple(length for axis, length in enumerate(shape) if axis not in dropped)


def unsqueezed(shape: Shape, axes: list[int]) -> Shape:
    rank = len(shape) + len(axes)
    new = {positive_axis(axis, rank) for axis in axes}
    lengths = iter(shape)
    return tuple(1 if axis in new else next(lengths) for axis in range(rank))


def flattened(shape: Shape, axis: int) -> Shape:
    axis = positive_axis(axis, len(shape))
    return int(np.prod(shape[:axis], dtype=np.int64)), int(np.prod(shape[axis:], dtype=np.int64))


def new_shape(step: Step, shape: Shape) -> Shape:
    """Return the shape that Reshape, Flatten, Squeeze or Unsqueeze gives to a value of `shape`."""
    if step.op == "Flatten":
        return flattened(shape, step.attribute("axis", 1))
    setting = step.option(1, "shape" if step.op == "Reshape" else "axes")
    listed = None if setting is None else [int(entry) for entry in setting.ravel()]
    if step.op == "Squeeze":
        return squeezed(shape, listed)
    if listed is None:
        raise step.refuse("its target is missing")
    if step.op == "Unsqueeze":
        return unsqueezed(shape, listed)
    return reshaped(shape, listed, not step.attribute("allowzero", 0))


@translates("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(step: Step) -> Value:
    x = step.node()
    target = new_shape(step, x.shape)
    if np.prod(target, dtype=np.int64) != x.size:
        raise step.refuse(f"it makes {list(target)} of {list(x.shape)}, which holds {x.size}")
    return step.build.reshape(x, target)


@translates("Transpose")
def transpose(step: Step) -> Value:
    x = step.node()
    perm = step.attribute("perm") or tuple(reversed(range(len(x.shape))))
    return step.build.add("transpose", x, perm=tuple(perm))


@translates("Expand")
def expand(step: Step) -> Value:
    x, target = step.node(), step.constant(1, "shape")
    return step.build.broadcast(x, np.broadcast_shapes(x.shape, tuple(int(n) for n in target)))


@translates("DepthToSpace")
def depth_to_space(step: Step) -> Value:
    """Move depth to space, `[N, C·b², H, W]` → `[N, C, H·b, W·b]`, in the order of `mode`."""
    x, b = step.node(), step.attribute("blocksize")
    n, depth, height, width = x.shape
    c = depth // (b * b)
    split, perm = ((n, b, b, c, height, width), (0, 3, 4, 1, 5, 2))
    if step.attribute("mode", "DCR") == "CRD":
        split, perm = ((n, c, b, b, height, width), (0, 1, 4, 2, 5, 3))
    moved = step.build.add("transpose", step.build.reshape(x, split), perm=perm)
    return step.build.reshape(moved, (n, c, height * b, width * b))


@translates("SpaceToDepth")
def space_to_depth(step: Step) -> Value:
    """Move space to depth, `[N, C, H, W]` → `[N, C·b², H/b, W/b]`."""
    x, b = step.node(), step.attribute("blocksize")
    n, c, height, width = x.shape
    split = step.build.reshape(x, (n, c, height // b, b, width // b, b))
    moved = step.build.add("transpose", split, perm=(0, 3, 5, 1, 2, 4))
    return step.build.reshape(moved, (n, c * b * b, height // b, width // b))
