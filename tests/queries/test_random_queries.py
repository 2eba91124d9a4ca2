"""Random queries of the whole grammar get no wrong answer, and none is refused."""

from __future__ import annotations

import pytest

from tests.queries.generate import Generator
from tests.queries.judge import judged


@pytest.mark.parametrize("seed", range(20))
def test_no_valid_query_is_refused_or_answered_wrongly(seed):
    question = Generator(seed).question()
    word, reason = judged(question, timeout=1.0)
    assert word in ("sat", "unsat", "open"), f"{reason}\n{question.text}"
