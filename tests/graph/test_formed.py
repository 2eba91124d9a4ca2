"""Computed weights lie within γ of their size from the exact ones, in any precision."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from boundmesh.graph import constant as constants
from boundmesh.graph.build import Builder
from boundmesh.graph.constant import Constant
from boundmesh.graph.formed import EXACT, Formed, size_of
from boundmesh.graph.graph import Graph, Port
from boundmesh.graph.passes import simplify

Numbers = np.ndarray
"""An object array of Fractions."""


def fractions(array: np.ndarray) -> Numbers:
    return np.vectorize(Fraction, otypes=[object])(np.asarray(array, np.float64))


def gamma(terms: int, u: Fraction) -> Fraction:
    return terms * u / (1 - terms * u)


def assert_within(stored: np.ndarray, exact: Numbers, how: Formed, u: Fraction) -> None:
    size = np.broadcast_to(size_of(stored, how), stored.shape)
    assert (size >= np.abs(stored)).all()
    far = np.abs(fractions(stored) - exact)
    assert (far <= gamma(how.depth, u) * fractions(size)).all()


DOUBLE, SINGLE = Fraction(1, 2**53), Fraction(1, 2**24)


def random(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers of many sizes that float32 holds, among them powers of two and zeros."""
    power = 10.0 ** rng.integers(-3, 4, shape)
    found = (rng.normal(size=shape) * power).astype(np.float32)
    kind = rng.integers(0, 6, shape)
    found = np.where(kind == 0, np.float32(2.0) ** rng.integers(-3, 3, shape), found)
    return np.where(kind == 1, 0, found).astype(np.float32)


@pytest.mark.parametrize("seed", range(30))
def test_folded_layers_are_as_near_to_the_exact_ones_as_they_state(seed):
    rng = np.random.default_rng(seed)
    build = Builder()
    x = build.input((4,))
    weights = [random(rng, 3, 4), random(rng, 3)][: rng.integers(1, 3)]
    y = build.add("linear", x, weights=weights)
    matrix = fractions(weights[0])
    bias = fractions(weights[1]) if len(weights) > 1 else np.array([Fraction(0)] * 3)
    for _ in range(rng.integers(1, 6)):
        c = random(rng, *([3], [1], [])[rng.integers(3)])
        if rng.integers(2):
            y = build.add("scale", y, weights=(c,))
            factor = np.broadcast_to(fractions(c), (3,))
            matrix, bias = matrix * factor[:, None], bias * factor
        else:
            y = build.add("shift", y, weights=(c,))
            bias = bias + np.broadcast_to(fractions(c), (3,))
    graph = simplify(build.graph(y, (Port("x", (4,)),), (Port("y", (3,)),)))
    assert [node.op for node in graph.nodes] == ["input", "linear"]
    assert graph.formed.keys() <= graph.weights.keys()
    for name, exact in zip(graph[graph.output].weights, (matrix, bias), strict=False):
        how = graph.formed.get(name, EXACT)
        assert_within(graph.weights[name], exact, how, DOUBLE)
        if name not in graph.formed:
            assert (fractions(graph.weights[name]) == exact).all()


def in_single(values: list[np.ndarray], operation: Callable[..., np.ndarray]) -> np.ndarray:
    with np.errstate(all="ignore"):
        return operation(*values)


@pytest.mark.parametrize("seed", range(200))
def test_an_expression_computed_in_either_precision_is_within_its_gamma(seed):
    rng = np.random.default_rng(seed)
    leaves = [np.where(leaf == 0, np.float32(1), leaf) for leaf in random(rng, 6, 5)]
    exact = [fractions(leaf) for leaf in leaves]
    single, double = list(leaves), [constants.known(leaf) for leaf in leaves]
    steps: list[tuple[Callable[..., Constant], Callable[..., np.ndarray]]] = [
        (constants.sum_of, np.add),
        (lambda a, b: constants.sum_of(a, constants.negated(b)), np.subtract),
        (constants.product, np.multiply),
        (constants.quotient, np.divide),
    ]
    for _ in range(rng.integers(1, 6)):
        i, j = rng.integers(0, len(exact), 2)
        ours, theirs = steps[rng.integers(len(steps))]
        if theirs is np.divide and (exact[j] == 0).any():
            continue
        if theirs is np.divide and (single[j] == 0).any():
            continue
        exact.append(theirs(exact[i], exact[j]))
        double.append(ours(double[i], double[j]))
        single.append(theirs(single[i], single[j]))
    found = double[-1]
    assert_within(found.array, exact[-1], found.formed, DOUBLE)
    if found.formed.depth * SINGLE < 1 and np.isfinite(single[-1]).all():
        size = np.broadcast_to(size_of(found.array, found.formed), found.shape)
        far = np.abs(fractions(single[-1]) - exact[-1])
        assert (far <= gamma(found.formed.depth, SINGLE) * fractions(size)).all()


def test_products_of_matrices_and_roots_are_within_their_gamma():
    rng = np.random.default_rng(0)
    a, b = random(rng, 4, 7), random(rng, 7, 3)
    found = constants.matrix_product(a, b)
    exact = fractions(a) @ fractions(b)
    assert_within(found.array, exact, found.formed, DOUBLE)
    far = np.abs(fractions((a @ b).astype(np.float32)) - exact)
    size = fractions(size_of(found.array, found.formed))
    assert (far <= gamma(found.formed.depth, SINGLE) * size).all()
    value = constants.sum_of(np.float32([1.5, 2.0]), np.float32([-1.25, 7.0]))
    root = constants.root(value)
    assert root.formed.depth == 2
    # √(v + e) − √v ≤ e/√v, so that the square is off by the sum and the square of that.
    squares = fractions(root.array) ** 2
    slack = 3 * gamma(2, DOUBLE) * fractions(size_of(root.array, root.formed)) ** 2
    assert (np.abs(squares - fractions(value.array)) <= slack).all()


def test_what_no_precision_rounds_is_exact():
    x = np.float32([0.1, 3.0, -7.3])
    assert constants.product(x, 0.25).formed == EXACT
    assert constants.quotient(x, np.float32([2.0, -4.0, 0.5])).formed == EXACT
    assert constants.sum_of(x, 0.0).formed == EXACT
    assert constants.root(np.float32([4.0, 1.0, 0.25])).formed == EXACT
    assert constants.product(x, 3.0).formed.depth == 1
    assert constants.product(x, 0.25).array.dtype == np.float32
    assert constants.quotient(1.0, np.float32([3.0])).array.dtype == np.float64


def test_passes_carry_how_weights_were_formed_and_drop_it_with_them():
    build = Builder()
    x = build.input((3,))
    third = constants.quotient(1.0, 3.0)
    build.add("scale", x, weights=(third,))
    y = build.add("relu", build.add("scale", x, weights=(constants.quotient(1.0, 7.0),)))
    y = build.reshape(build.reshape(build.add("scale", y, weights=(1.0,)), (3, 1)), (1, 3))
    graph: Graph = build.graph(y, (Port("x", (3,)),), (Port("y", (1, 3)),))
    assert len(graph.formed) == 2
    graph = simplify(graph)
    (name,) = graph.formed
    assert graph.weights[name] == np.float64(1) / 7
    assert graph.formed[name].depth == 1


def test_a_scale_that_rounding_made_one_is_no_identity():
    build = Builder()
    x = build.input((1,))
    almost = Constant("", np.asarray(1.0), Formed(None, 2))
    graph = build.graph(
        build.add("scale", x, weights=(almost,)), (Port("x", (1,)),), (Port("y", (1,)),)
    )
    assert len(simplify(graph).nodes) == 2
