"""Random valid queries are answered, and never wrongly; invalid ones are refused."""

from __future__ import annotations

import random

import pytest

from boundmesh.errors import BoundmeshError
from tests.queries.generate import Generator
from tests.queries.judge import joined, judged
from tests.queries.mutate import INVALID

WHOLE = ("int8", "int16", "int32", "int64")


@pytest.mark.parametrize("seed", range(20))
def test_no_valid_query_is_refused_or_answered_wrongly(seed: int) -> None:
    question = Generator(seed).question()
    word, reason = judged(question, timeout=1.0)
    assert word in ("sat", "unsat", "open"), f"{reason}\n{question.text}"


@pytest.mark.parametrize("seed", range(12))
def test_no_valid_query_over_whole_numbers_is_refused_or_answered_wrongly(seed: int) -> None:
    question = Generator(seed, whole=WHOLE[seed % len(WHOLE)]).question()
    word, reason = judged(question, timeout=1.0)
    assert word in ("sat", "unsat", "open"), f"{reason}\n{question.text}"


@pytest.mark.parametrize("fault", INVALID)
def test_no_invalid_query_is_accepted(fault: str) -> None:
    broken = 0
    for seed in range(6):
        question = Generator(seed).question()
        text = INVALID[fault](question.text, random.Random(seed))
        if text != question.text:
            broken += 1
            with pytest.raises(BoundmeshError):
                joined(question, text)
    assert broken, "the fault has no place in any of the queries"
