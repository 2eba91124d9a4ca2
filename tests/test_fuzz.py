"""Whatever a user gives, right or wrong, ends in an answer or in a BoundmeshError.

The same calls, without end: benchmarks/fuzz.py.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from boundmesh.errors import BoundmeshError
from boundmesh.read import vnnlib
from boundmesh.read.onnx import loads
from tests.fuzzed import KINDS, TEXTS, TOKENS, models

CALLS = {"property": 1000, "network": 700, "command": 70, "python": 500}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        yield Path(name)


@pytest.mark.parametrize("kind", KINDS)
def test_no_call_ends_in_a_traceback(kind: str, folder: Path) -> None:
    for seed in range(CALLS[kind]):
        random = Random(seed)
        try:
            KINDS[kind](random, folder)
        except Exception as error:
            raise AssertionError(f"{kind}, seed {seed}") from error


def ends_in_words(file: Path) -> None:
    try:
        vnnlib.read(file)
    except BoundmeshError as error:
        assert str(file) in str(error)


SEARCH = settings(
    max_examples=150,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@SEARCH
@given(st.binary(max_size=200))
def test_no_bytes_break_the_readers(folder: Path, data: bytes) -> None:
    file = folder / "any.vnnlib"
    file.write_bytes(data)
    ends_in_words(file)
    with pytest.raises(BoundmeshError):
        loads(data)


@SEARCH
@given(st.lists(st.sampled_from(TOKENS), max_size=30), st.sampled_from(TEXTS))
def test_no_words_break_the_reader_of_properties(folder: Path, words: list[str], text: str) -> None:
    file = folder / "words.vnnlib"
    file.write_text(text + "(assert (" + " ".join(words) + "))", encoding="utf-8")
    ends_in_words(file)


@SEARCH
@given(st.sampled_from(models()), st.data())
def test_no_changed_byte_breaks_the_reader_of_networks(model: bytes, data: st.DataObject) -> None:
    changed = io.BytesIO(model)
    for place in data.draw(st.lists(st.integers(0, len(model) - 1), min_size=1, max_size=4)):
        changed.seek(place)
        changed.write(bytes([data.draw(st.integers(0, 255))]))
    try:
        loads(changed.getvalue())
    except BoundmeshError as error:
        assert str(error)
