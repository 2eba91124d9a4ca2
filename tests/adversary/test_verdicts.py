"""A small share of the random networks that `benchmarks/adversary.py` judges at size."""

from __future__ import annotations

from pathlib import Path

import pytest

from boundmesh.errors import UnsupportedError
from boundmesh.operators import RULES
from tests.adversary.containment import DTYPES, METHODS, leaks
from tests.adversary.generate import generate
from tests.adversary.operator_forms import FORMS, form_leaks
from tests.adversary.verdicts import judged

NETWORKS, BOUNDED, FORM_SEEDS = range(5000, 5024), range(6000, 6006), range(2)


@pytest.mark.parametrize("mode", ["real", "real+float32"])
@pytest.mark.parametrize("seed", NETWORKS)
def test_no_point_refutes_a_verdict(seed: int, mode: str, tmp_path: Path) -> None:
    found = judged(generate(seed), tmp_path, mode, timeout=0.4)
    assert found.fault is None
    assert found.word != "defect", found.message


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds_hold_exact_and_reordered_outputs(method: str, dtype: str, tmp_path: Path) -> None:
    found = []
    for seed in BOUNDED:
        try:
            found += leaks(generate(seed), tmp_path, method, dtype, "real+float32")
        except UnsupportedError:
            found += leaks(generate(seed), tmp_path, method, dtype, "real")
    assert not found


@pytest.mark.parametrize("op", FORMS)
def test_bounds_of_one_operator_hold_its_exact_values(op: str) -> None:
    if op not in RULES:
        pytest.skip(f"there is no operator '{op}'")
    found = [leak for seed in FORM_SEEDS for leak in form_leaks(seed, op, METHODS, DTYPES)]
    assert not found
