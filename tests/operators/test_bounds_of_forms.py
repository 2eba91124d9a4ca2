"""Bounds of random forms of every ONNX operator contain what ONNX Runtime computes."""

from __future__ import annotations

import numpy as np
import pytest

import boundmesh
from boundmesh.errors import BoundmeshError
from boundmesh.read.capabilities import onnx_operators
from boundmesh.read.onnx import loads
from boundmesh.read.runtime import Runtime
from tests.operators import elementwise, layers, moves, places, steps  # noqa: F401 (forms)
from tests.operators.form import Form, form_of, network

FORMS, POINTS = 3, 12


def escapes(form: Form, seed: int) -> str | None:
    """Say which method's bounds an output of ONNX Runtime escapes; None where none does."""
    random = np.random.default_rng(seed)
    try:
        graph = loads(network(form))
        runtime = Runtime(graph)
        size = sum(port.size for port in graph.inputs)
        reach = random.choice([0.02, 0.3, 0.99]) * (form.high - form.low) / 2
        center = random.uniform(form.low + reach, form.high - reach, size)
        lower, upper = (center - reach).astype(np.float32), (center + reach).astype(np.float32)
        x = random.uniform(lower, upper, (POINTS, size)).astype(np.float32)
        x[0], x[1] = lower, upper
        y = np.stack([runtime(each) for each in x])
        found = {
            method: boundmesh.bounds(graph, boundmesh.Box(lower, upper), method=method)
            for method in ("ibp", "crown")
        }
    except BoundmeshError:
        # What is refused, and how, is held elsewhere.
        return None
    slack = 1e-5 * (1 + np.abs(y))
    for method, bounds in found.items():
        low, high = bounds.lower - slack, bounds.upper + slack
        if not ((low <= y) & (y <= high) | np.isnan(low) | np.isnan(high)).all():
            return method
    return None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("op", onnx_operators())
def test_outputs_lie_inside_of_bounds(op: str) -> None:
    wrong = [
        f"{method} of seed {seed}: {form_of(op, seed)}"
        for seed in range(FORMS)
        if (method := escapes(form_of(op, seed), seed)) is not None
    ]
    assert not wrong, "\n".join(wrong)
