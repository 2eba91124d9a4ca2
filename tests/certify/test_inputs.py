"""Inputs, labels and radii are accepted in every usual form, and refused with a message."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import boundmesh
from boundmesh import BoundmeshError
from tests.certify.networks import conv, graph_of, inputs, mlp, predictions

MLP, CONV = graph_of(mlp()), graph_of(conv(), 2, 4, 4)
X = inputs(3)
Y = predictions(mlp(), X)


@pytest.mark.parametrize(
    "given",
    [X, torch.from_numpy(X), X.tolist(), tuple(map(tuple, X.tolist())), X[:, None], X.astype("f8")],
    ids=lambda given: type(given).__name__,
)  # fmt: skip
def test_inputs_are_arrays_tensors_lists_and_tuples(given: Any) -> None:
    assert boundmesh.certify(MLP, given, eps=0.01).labels.tolist() == Y.tolist()


@pytest.mark.parametrize(
    "given", [Y, torch.from_numpy(Y), Y.tolist(), tuple(Y.tolist()), Y[:, None], Y.astype("f4")],
    ids=lambda given: type(given).__name__,
)  # fmt: skip
def test_labels_are_arrays_tensors_lists_and_tuples(given: Any) -> None:
    assert boundmesh.certify(MLP, X, given, eps=0.01).clean_accuracy == 1


def test_a_single_number_is_a_label_of_a_single_input() -> None:
    assert boundmesh.certify(MLP, X[:1], int(Y[0]), eps=0.01).clean_accuracy == 1


@pytest.mark.parametrize("eps", [0.25, "1/4", "0.25", Fraction(1, 4), np.float32(0.25),
                                 torch.tensor(0.25), [0.25]], ids=repr)  # fmt: skip
def test_a_radius_is_a_number_or_text(eps: Any) -> None:
    assert boundmesh.certify(MLP, X, eps=eps, method="ibp").eps == 0.25


@pytest.mark.parametrize("norm", [math.inf, "inf", 2, "2", 2.0, np.float64(1), 1])
def test_a_norm_is_a_number_or_text(norm: Any) -> None:
    assert boundmesh.certify(MLP, X, eps=0, norm=norm, method="ibp").norm == float(norm)


@pytest.mark.parametrize(
    ("model", "given", "options", "message"),
    [
        (MLP, X[0], {}, r"shape \[10\]; the network takes \[1, 10\].*axis of the N inputs"),
        (CONV, np.zeros((2, 4, 4)), {}, r"expected \[N, 2, 4, 4\], with the axis of the N inputs"),
        (CONV, np.zeros((5, 4, 4, 2)), {}, r"expected \[N, 2, 4, 4\]"),
        (MLP, np.zeros((2, 11)), {}, r"expected \[N, 10\]"),
        (MLP, np.zeros((0, 10)), {}, "with N ≥ 1"),
        (MLP, 3.0, {}, "with N ≥ 1"),
        (MLP, [[np.nan] * 10], {}, "input 0 holds NaN"),
        (MLP, "x.npy", {}, "array of inputs"),
        (MLP, None, {}, "array of inputs"),
        (MLP, [[1, 2], [3]], {}, "array of inputs"),
        (MLP, X, {"labels": [0, 1]}, r"labels have the shape \[2\]; expected \[3\]"),
        (MLP, X, {"labels": [0, 1, 3]}, "label of input 2 is 3; expected a whole .* from 0 to 2"),
        (MLP, X, {"labels": [0, -1, 2]}, "label of input 1 is -1"),
        (MLP, X, {"labels": [0, 0.5, 2]}, "label of input 1 is 0.5"),
        (MLP, X, {"labels": [0, math.nan, 2]}, "label of input 1 is nan"),
        (MLP, X, {"labels": np.eye(3)}, r"labels have the shape \[3, 3\]"),
        (MLP, X, {"labels": "abc"}, "array of labels"),
        (MLP, X, {"eps": -0.1}, "eps is -0.1; expected a number ≥ 0"),
        (MLP, X, {"eps": math.nan}, "eps is nan; expected a finite number"),
        (MLP, X, {"eps": "8/0"}, "eps is '8/0'; expected a number such as 0.03 or 8/255"),
        (MLP, X, {"eps": None}, "eps"),
        (MLP, X, {"eps": [0.1, 0.2]}, "eps"),
        (MLP, X, {"norm": 3}, "norm is 3; expected 1, 2 or inf"),
        (MLP, X, {"norm": "L2"}, "norm is 'L2'; expected 1, 2 or inf"),
        (MLP, X, {"norm": True}, "norm is True"),
        (MLP, X, {"norm": 2, "clip": (0, 0.5)}, "first input 0, lie outside of clip"),
        (MLP, X, {"clip": (1, 0)}, "smaller one first"),
        (MLP, X, {"clip": 3}, "clip is 3"),
        (MLP, X, {"clip": (0, 0.5)}, r"3 of 3 inputs, first input 0, lie outside of clip 0…0\.5"),
        (MLP, X, {"std": 0}, "std is 0; expected numbers above zero"),
        (MLP, X, {"mean": [1, 2]}, r"mean has the shape \[2\]; expected one number, or 10"),
        (MLP, X, {"mean": "grey"}, "mean"),
        (MLP, X, {"largest": 1}, "largest is 1; expected True or False"),
        (MLP, X, {"tolerance": -1}, "tolerance is -1"),
        (MLP, X, {"timeout_per_input": 0}, "timeout_per_input is 0; expected a number > 0"),
        (MLP, X, {"timeout": -1}, "timeout"),
        (MLP, X, {"mesh": "domains=2"}, "domains="),
        (MLP, X, {"speed": 9}, "no option is called speed"),
        (MLP, X, {"progress": "loud"}, "progress"),
        (None, X, {}, "the model is None"),
        (nn.Conv2d(2, 3, 3), X, {}, r"for an input of shape \[1, 10\].*with its batch axis"),
        (nn.Conv2d(2, 3, 3), np.zeros((1, 2, 8, 8)), {}, "expected a score for each of at"),
        (nn.Linear(10, 1), X, {}, "expected a score for each of at"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    model: Any, given: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BoundmeshError, match=message):
        boundmesh.certify(model, given, **{"eps": 0.1, **options})


def test_a_property_of_a_wrong_norm_radius_or_label_is_refused_when_it_is_made() -> None:
    for make in (
        lambda: boundmesh.Ball([0.0], 1, 3),
        lambda: boundmesh.Ball([0.0], -1, 2),
        lambda: boundmesh.Box.around([0.0], -1),
        lambda: boundmesh.Property.largest(boundmesh.Box([0], [1]), 3, 3),
        lambda: boundmesh.Property.largest(boundmesh.Box([0], [1]), -1, 3),
    ):
        with pytest.raises(BoundmeshError):
            make()


@pytest.mark.parametrize(
    "wrap", [np.int64, np.array, torch.tensor], ids=["int64", "array", "tensor"]
)
def test_numbers_in_arrays_and_tensors_are_numbers(wrap: Any) -> None:
    ball = boundmesh.Ball(torch.zeros(2), wrap(1), wrap(2))
    assert (ball.radius, ball.p) == (1.0, 2.0)
    box = boundmesh.Box.around([0.5, 0.5], wrap(1), wrap([0, 1]))
    assert box.lower.tolist() == [0, 0] and box.upper.tolist() == [1, 1]
    prop = boundmesh.Property.largest(box, wrap(1), wrap(3))
    assert prop == boundmesh.Property.largest(box, 1, 3) and len(prop.cases[0].clauses) == 2
    atom = boundmesh.Atom([(wrap(0), wrap(2))], [], wrap(1))
    assert atom == boundmesh.Atom([(0, 2)], [], 1)


@pytest.mark.parametrize("given", [True, None, "2", [2], torch.tensor([2]), 10**400], ids=repr)
def test_what_is_no_norm_is_refused_when_a_ball_is_made(given: Any) -> None:
    with pytest.raises(BoundmeshError, match=r"norm is .*expected 1, 2 or math\.inf"):
        boundmesh.Ball([0.0], 1, given)
