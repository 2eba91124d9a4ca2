"""Forms of operators that read and write constant places, sum products, and normalise."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.operators.form import Draw, Form, Operand, Shape, generates


def index(draw: Draw, shape: Shape, lengths: int | np.ndarray) -> np.ndarray:
    """Random indices below `lengths`, some counted from the end where the opset allows it."""
    found = draw.numbers.integers(0, lengths, shape)
    return found - lengths if draw.opset >= 11 and draw.chance(0.3) else found


def reduction(draw: Draw) -> dict[str, Any]:
    """A way of combining updates, where the opset has it."""
    kinds = ["none", "add", "mul"] if draw.opset >= 16 else ["none"]
    kinds += ["max", "min"] if draw.opset >= 18 else []
    return {"reduction": draw.pick(*kinds)} if draw.has("reduction") and draw.chance(0.7) else {}


@generates("GatherElements")
def gather_elements(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 3)
    axis = draw.axis(len(shape))
    chosen = [draw.whole(1, length) for length in shape]
    chosen[axis] = draw.whole(1, 5)
    return Form(op, (shape, index(draw, tuple(chosen), shape[axis])), {"axis": axis})


@generates("GatherND")
def gather_nd(draw: Draw, op: str) -> Form:
    shape = draw.shape(2, 4)
    batch = draw.whole(0, len(shape) - 2) if draw.has("batch_dims") else 0
    depth = draw.whole(1, len(shape) - batch)
    lead = (*shape[:batch], *draw.shape(0, 2))
    lengths = np.asarray(shape[batch : batch + depth])
    attributes = {"batch_dims": batch} if batch else {}
    return Form(op, (shape, index(draw, (*lead, depth), lengths)), attributes)


@generates("ScatterND")
def scatter_nd(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 3)
    depth, lead = draw.whole(1, len(shape)), draw.shape(1, 2)
    attributes = reduction(draw)
    places = index(draw, (*lead, depth), np.asarray(shape[:depth]))
    if attributes.get("reduction", "none") == "none":
        # Without a reduction, the order of updates of one place is not defined.
        size = int(np.prod(shape[:depth]))
        flat = draw.numbers.permutation(size)[: draw.whole(1, size)]
        places = np.stack(np.unravel_index(flat, shape[:depth]), -1)
    updates = (*places.shape[:-1], *shape[depth:])
    data, new = draw.given([shape, updates])
    return Form(op, (data, places, new), attributes)


@generates("ScatterElements", "Scatter")
def scatter_elements(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 3)
    axis = draw.axis(len(shape)) if draw.opset >= 11 else draw.whole(0, len(shape) - 1)
    attributes = reduction(draw)
    chosen = [draw.whole(1, length) for length in shape]
    if attributes.get("reduction", "none") == "none":
        places = np.zeros(chosen, np.int64)
        length = chosen[axis]
        for spot in np.ndindex(*chosen[:axis], 1, *chosen[axis % len(shape) + 1 :]):
            cut = list(spot)
            order: Any = draw.numbers.permutation(shape[axis])[:length]
            place: list[Any] = list(cut)
            place[axis] = slice(None)
            places[tuple(place)] = order
    else:
        places = index(draw, tuple(chosen), shape[axis])
    data, new = draw.given([shape, tuple(chosen)])
    return Form(op, (data, places, new), {"axis": axis, **attributes})


@generates("Trilu")
def triangle(draw: Draw, op: str) -> Form:
    k = np.array(draw.whole(-3, 3), np.int64) if draw.chance(0.7) else None
    attributes = {"upper": draw.whole(0, 1)} if draw.chance(0.8) else {}
    return Form(op, (draw.shape(2, 4), k), attributes)


@generates("CumSum")
def cumulative(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 4)
    attributes: dict[str, Any] = {}
    draw.maybe(attributes, "exclusive", draw.whole(0, 1))
    draw.maybe(attributes, "reverse", draw.whole(0, 1))
    return Form(op, (shape, np.array(draw.axis(len(shape)), np.int64)), attributes)


EQUATIONS = (
    *("ij,jk->ik", "bij,bjk->bik", "bij,jk", "bhid,bhjd->bhij", "i,i->", "ij->ji", "ii->i", "ii"),
    *("ij->", "...ij,...jk->...ik", "ij,j->i", "i,j->ij", "bij,bij->b", "...i,...i->...", "iji->j"),
    *("bc,cd,de->be", "ab,ab->ab", "bhwc,hkc->bhwk", "ij,kj->kij", "abc->cab", "ijk,jk->i"),
)


@generates("Einsum")
def einsum(draw: Draw, op: str) -> Form:
    equation = draw.pick(*EQUATIONS)
    lengths = {letter: draw.whole(1, 4) for letter in "abcdehijkw"}
    dots = draw.shape(0, 2)
    shapes = []
    for term in equation.split("->")[0].split(","):
        letters = tuple(lengths[letter] for letter in term.replace("...", ""))
        shapes.append((*dots, *letters) if "..." in term else letters)
    return Form(op, tuple(draw.given(shapes)), {"equation": equation})


@generates("LRN")
def local_response(draw: Draw, op: str) -> Form:
    attributes: dict[str, Any] = {"size": draw.pick(1, 3, 5)}
    draw.maybe(attributes, "alpha", draw.random.uniform(1e-4, 1.0))
    draw.maybe(attributes, "beta", draw.random.uniform(0.3, 1.5))
    draw.maybe(attributes, "bias", draw.random.uniform(0.5, 2.0))
    return Form(op, ((1, draw.whole(1, 6), 2, 2),), attributes)


@generates("GroupNormalization")
def groups(draw: Draw, op: str) -> Form:
    count, each = draw.whole(1, 3), draw.whole(1, 3)
    shape = (draw.whole(1, 2), count * each, *draw.shape(1, 2))
    length = count if draw.opset < 21 else count * each
    attributes: dict[str, Any] = {"num_groups": count}
    draw.maybe(attributes, "epsilon", draw.random.uniform(1e-3, 1e-1))
    return Form(op, (shape, draw.real(length), draw.real(length)), attributes)


@generates("RMSNormalization")
def rms(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 3)
    axis = draw.axis(len(shape))
    attributes: dict[str, Any] = {"axis": axis, "epsilon": 1e-2}
    return Form(op, (shape, draw.real(*shape[axis:])), attributes)


@generates("LpNormalization")
def unit_vectors(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 3)
    attributes = {"axis": draw.axis(len(shape)), "p": draw.whole(1, 2)}
    return Form(op, (shape,), attributes, low=0.1)


@generates("MeanVarianceNormalization")
def standard(draw: Draw, op: str) -> Form:
    shape = (2, *draw.shape(3, 3))
    attributes = {"axes": sorted(draw.random.sample(range(4), 2))} if draw.chance() else {}
    return Form(op, (shape,), attributes)


@generates("ReduceProd")
def product(draw: Draw, op: str) -> Form:
    shape = draw.shape(1, 3)
    operands: list[Operand] = [shape]
    attributes: dict[str, Any] = {}
    axes = draw.axes(len(shape))
    axes = axes if draw.opset >= 11 else [axis % len(shape) for axis in axes]
    draw.setting("axes", axes, operands, attributes)
    draw.maybe(attributes, "keepdims", draw.whole(0, 1))
    return Form(op, tuple(operands), attributes)


@generates("IsNaN", "IsInf")
def not_finite(draw: Draw, op: str) -> Form:
    return Form(op, (draw.shape(),), scales=draw.shape())
