"""ONNX Einsum: sums of products of operands, contracted two at a time."""

from __future__ import annotations

import math
import string
from dataclasses import dataclass

import numpy as np

from boundmesh.graph.build import Builder, Constant
from boundmesh.graph.constant import matrix_product as matrix_product_of
from boundmesh.graph.constant import total as total_of
from boundmesh.operators.node import Node
from boundmesh.read.translate.arithmetic import scale
from boundmesh.read.translate.linear import bounded_product, matrix_product
from boundmesh.read.translate.scatter import taken
from boundmesh.read.translate.step import Step, Value, translates


@dataclass(frozen=True)
class Labelled:
    """A value, and one label for each of its axes."""

    value: Value
    labels: str

    def length(self, label: str) -> int:
        return self.value.shape[self.labels.index(label)]


@translates("Einsum")
def einsum(step: Step) -> Value:
    """Sum over all labels that the result does not have; operands are contracted in order."""
    build, (terms, result) = step.build, parsed(step)
    parts = [
        diagonal(build, Labelled(step.value(place), labels)) for place, labels in enumerate(terms)
    ]
    # Constants first, so that as much as possible is folded.
    parts.sort(key=lambda part: isinstance(part.value, Node))

    total = parts[0]
    for place, part in enumerate(parts[1:], start=2):
        later = "".join(operand.labels for operand in parts[place:])
        total = contraction(build, total, part, {*later, *result})
    return arranged(build, total, result)


def parsed(step: Step) -> tuple[list[str], str]:
    """Return the labels of each operand and of the result, without blanks and `...`."""
    text = step.attribute("equation", "")
    text = (text.decode() if isinstance(text, bytes) else text).replace(" ", "")
    inputs, arrow, result = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(step.operands):
        raise step.refuse(f"its equation '{text}' is not about {len(step.operands)} operands")
    spare = [letter for letter in string.ascii_letters if letter not in text]
    ranks = [len(step.value(place).shape) for place in range(len(terms))]
    missing = [rank - len(term.replace("...", "")) for rank, term in zip(ranks, terms, strict=True)]
    most = max((n for n, term in zip(missing, terms, strict=True) if "..." in term), default=0)
    dots = "".join(spare[:most])
    if any(n and "..." not in term for n, term in zip(missing, terms, strict=True)) or most > len(
        spare
    ):
        raise step.refuse(f"its equation '{text}' does not fit operands of ranks {ranks}")
    full = [
        term.replace("...", dots[most - max(n, 0) :])
        for n, term in zip(missing, terms, strict=True)
    ]
    if arrow:
        return full, result.replace("...", dots)
    all_labels = "".join(full)
    return full, dots + "".join(
        sorted(label for label in set(all_labels) - set(dots) if all_labels.count(label) == 1)
    )


def diagonal(build: Builder, part: Labelled) -> Labelled:
    """Return the operand with each label once: axes of one label are read at equal places."""
    labels = "".join(dict.fromkeys(part.labels))
    if labels == part.labels:
        return part
    shape = part.value.shape
    places = np.einsum(np.arange(math.prod(shape)).reshape(shape), *numbered(part.labels, labels))
    if isinstance(part.value, Constant):
        moved = part.value.moved(lambda array: array.ravel()[places])
        return Labelled(Constant("", moved.array, moved.formed), labels)
    return Labelled(taken(build, part.value, places), labels)


def numbered(labels: str, result: str) -> tuple[list[int], list[int]]:
    numbers = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    return [numbers[label] for label in labels], [numbers[label] for label in result]


def contraction(build: Builder, x: Labelled, y: Labelled, kept: set[str]) -> Labelled:
    """Return the product of two operands, summed over the labels that are not `kept`."""
    x, y = summed(build, x, kept | set(y.labels)), summed(build, y, kept | set(x.labels))
    both = [label for label in x.labels if label in y.labels]
    batch = [label for label in both if label in kept]
    inner = [label for label in both if label not in kept]
    left = [label for label in x.labels if label not in both]
    right = [label for label in y.labels if label not in both]
    lengths = {
        label: max(part.length(label) for part in (x, y) if label in part.labels)
        for label in {*x.labels, *y.labels}
    }
    left_factor = grouped(build, x, (batch, left, inner), lengths)
    right_factor = grouped(build, y, (batch, inner, right), lengths)
    labels = [*batch, *left, *right]
    product = multiplied(build, left_factor, right_factor)
    shape = tuple(lengths[label] for label in labels)
    return Labelled(reshaped(build, product, shape), "".join(labels))


def multiplied(build: Builder, x: Value, y: Value) -> Value:
    """Return `x[b] @ y[b]` of operands `[b, m, k]` and `[b, k, n]`."""
    if isinstance(x, Constant) and isinstance(y, Constant):
        return matrix_product_of(x, y)
    if x.shape[0] == 1 or (isinstance(x, Node) and isinstance(y, Node)):
        if isinstance(x, Node) and isinstance(y, Node):
            return bounded_product(build, x, y)
        return matrix_product(build, x, y)
    # A product with a constant is affine: each pair is a scaled element, and the sum is over k.
    wide = tuple(int(n) for n in (*x.shape[:2], x.shape[2], y.shape[2]))
    if isinstance(x, Node):
        assert isinstance(y, Constant)
        lifted = build.broadcast(build.reshape(x, (*x.shape, 1)), wide)
        scaled = scale(build, lifted, y.moved(lambda array: array[:, None]))
    else:
        assert isinstance(x, Constant) and isinstance(y, Node)
        lifted = build.broadcast(build.reshape(y, (y.shape[0], 1, *y.shape[1:])), wide)
        scaled = scale(build, lifted, x.moved(lambda array: array[..., None]))
    total = build.add("sum", scaled, axes=(2,)) if wide[2] != 1 else scaled
    return build.reshape(total, (wide[0], wide[1], wide[3]))


def summed(build: Builder, part: Labelled, kept: set[str]) -> Labelled:
    """Return the operand summed over the labels that are not `kept`."""
    gone = tuple(axis for axis, label in enumerate(part.labels) if label not in kept)
    if not gone:
        return part
    labels = "".join(label for label in part.labels if label in kept)
    shape = tuple(n for axis, n in enumerate(part.value.shape) if axis not in gone)
    if isinstance(part.value, Constant):
        total: Value = total_of(part.value, gone)
    else:
        total = build.add("sum", part.value, axes=gone)
    return Labelled(reshaped(build, total, shape), labels)


def grouped(
    build: Builder, part: Labelled, groups: tuple[list[str], ...], lengths: dict[str, int]
) -> Value:
    """Return the operand with one axis for each group of labels."""
    order = [label for group in groups for label in group]
    value = moved(build, part, "".join(order))
    whole = tuple(lengths[label] for label in order)
    if value.shape != whole:
        # A length of 1 stands for any length.
        if isinstance(value, Constant):
            value = value.moved(lambda array: np.ascontiguousarray(np.broadcast_to(array, whole)))
        else:
            value = build.broadcast(value, whole)
    shape = tuple(math.prod(lengths[label] for label in group) for group in groups)
    return reshaped(build, value, shape)


def moved(build: Builder, part: Labelled, labels: str) -> Value:
    perm = tuple(part.labels.index(label) for label in labels)
    if perm == tuple(range(len(perm))):
        return part.value
    if isinstance(part.value, Constant):
        return part.value.moved(lambda array: array.transpose(perm))
    return build.add("transpose", part.value, perm=perm)


def reshaped(build: Builder, value: Value, shape: tuple[int, ...]) -> Value:
    if isinstance(value, Constant):
        return value.moved(lambda array: array.reshape(shape))
    return build.reshape(value, shape)


def arranged(build: Builder, part: Labelled, labels: str) -> Value:
    """Return the result, with its axes in the order of `labels`."""
    return moved(build, summed(build, part, set(labels)), labels)
