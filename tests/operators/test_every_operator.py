"""Random forms of every ONNX operator compute what ONNX Runtime computes."""

from __future__ import annotations

import pytest

from boundmesh.read.capabilities import onnx_operators
from tests.operators.form import GENERATORS, form_of
from tests.operators.judge import judge

FORMS = 16


def test_every_operator_has_a_generator_of_forms():
    assert set(onnx_operators()) <= set(GENERATORS)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("op", onnx_operators())
def test_random_forms_agree_with_onnx_runtime_or_are_refused_in_a_line(op):
    forms = [form_of(op, seed) for seed in range(FORMS)]
    found = [judge(form) for form in forms]
    wrong = [f"seed {seed}, {form}: {judged.words}"
             for seed, (form, judged) in enumerate(zip(forms, found, strict=True))
             if judged.verdict == "wrong"]  # fmt: skip
    assert not wrong, "\n".join(wrong)
    assert sum(judged.verdict == "agrees" for judged in found) >= FORMS / 4
