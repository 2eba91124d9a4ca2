import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from boundmesh.errors import BoundmeshError
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators.node import Node
from boundmesh.proof.output_bounds import Bounds
from boundmesh.property import Atom, Box, Case, Clause, Property, Variable
from boundmesh.report import results
from boundmesh.result import Result
from boundmesh.settings import Settings
from boundmesh.verdict import POSITIVE, Counterexample, Falsified, TimedOut, Unknown, Verified

GRAPH = Graph((Node("x", "input", (), (2,)),), "x", "x", {}, (Port("x", (2,)),), (Port("x", (2,)),))
POINT = Counterexample(np.array([0.1, -1e-7]), np.array([1 / 3, 2.0]), 0, 1)
VERDICTS = [
    Verified(0.5),
    Verified(math.inf),
    Falsified(POINT),
    Unknown("too wide", -1.25),
    Unknown("no bound", -math.inf),
    TimedOut("3 clauses remain", math.nan),
]


CLAUSES = Clause((Atom((), ((0, 1.0),), -9.0),)), Clause((Atom((), ((1, -1.0),), 0.0),))
CASES = (Case(Box([-1, -1], [1, 1]), CLAUSES),)
PROPERTY = Property(
    CASES,
    2,
    2,
    (Variable("X", "input", (1, 2), "Real"), Variable("Y", "output", (2,), "Real")),
)


def strict_json(text: str):
    def refuse(word: str):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def result(verdict) -> Result:
    return Result(verdict, {"attack": 0.25}, 123, {"relu": (1, 2)}, PROPERTY, GRAPH)


@pytest.mark.parametrize("verdict", VERDICTS, ids=str)
def test_a_verdict_is_strict_json_with_every_documented_key(verdict, tmp_path: Path):
    content = results.verdict_json(result(verdict), Settings(), "a.vnnlib", "a.onnx", 1.5)
    results.write_json(tmp_path / "result.json", content)
    read = strict_json((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert read == content
    assert read["verdict"] == verdict.word
    assert read["seconds"] == {"attack": 0.25, "total": 1.5}
    assert read["unstable"] == {"relu": [1, 2]}


def test_a_counterexample_reads_back_to_the_bit(tmp_path: Path):
    content = results.verdict_json(result(Falsified(POINT)), Settings(), "a", "b", 0.0)
    results.write_json(tmp_path / "result.json", content)
    point = strict_json((tmp_path / "result.json").read_text())["counterexample"]
    assert np.array(point["input"]).tobytes() == POINT.input.tobytes()
    assert np.array(point["output"]).tobytes() == POINT.output.tobytes()
    assert (point["case"], point["clause"]) == (0, 1)


@given(
    lower=arrays.arrays(np.float64, 3, elements=st.floats(allow_nan=True, allow_infinity=True)),
)
def test_bounds_read_back_to_the_bit_and_none_stands_for_no_bound(lower):
    bounds = Bounds(lower, -lower, "crown", 0.5, 7, {}, {})
    text = json.dumps(results.bounds_json(bounds, Settings(), None, "a.onnx"), allow_nan=False)
    for value, read in zip(lower.tolist(), strict_json(text)["lower"], strict=True):
        assert read == value if math.isfinite(value) else read is None


def test_standard_output_is_the_word_and_for_sat_the_assignment():
    assert results.answer(result(Verified(0.5))) == "unsat\n"
    assert results.answer(result(TimedOut("late", -1.0))) == "timed-out\n"
    lines = results.answer(result(Falsified(POINT))).splitlines()
    assert lines == ["sat", "X Real [1,2]", "0.1", "-1e-07", "Y Real [2]", repr(1 / 3), "2.0"]


@pytest.mark.parametrize(
    ("verdict", "word"),
    [(Verified(1.0), "unsat"), (Unknown("why", 0.0), "unknown"), (TimedOut("", 0.0), "timeout")],
)
def test_the_competition_has_a_word_for_every_verdict(verdict, word):
    assert results.competition_text(verdict, PROPERTY) == f"{word}\n"


def test_the_competition_file_of_version_2_holds_the_assignment():
    text = results.competition_text(Falsified(POINT), PROPERTY)
    assert text == results.answer(result(Falsified(POINT)))


def test_the_competition_file_of_version_1_holds_pairs():
    text = results.competition_text(Falsified(POINT), Property(CASES, 2, 2))
    assert text.splitlines()[:2] == ["sat", "((X_0 0.1)"]
    assert text.endswith("(Y_1 2.0))\n")


def test_a_file_that_cannot_be_written_is_an_error_with_its_name(tmp_path: Path):
    with pytest.raises(BoundmeshError, match="missing"):
        results.write(tmp_path / "missing" / "result.txt", "unsat\n")


def test_inputs_that_no_float_holds_are_written_as_fractions():
    exact = {0: Fraction(1, 10), 1: Fraction(1, 10**5000 + 1)}
    point = Counterexample(np.array([0.1, 0.0]), np.zeros(2), 0, 0, exact)
    content = results.verdict_json(result(Falsified(point)), Settings(), "a", "b", 0.0)
    assert content["counterexample"]["exact"] == {"0": "1/10", "1": "0.0"}


def test_a_proof_without_a_number_has_no_bound_in_json():
    content = results.verdict_json(result(Verified(POSITIVE)), Settings(), "a", "b", 0.0)
    assert (content["verdict"], content["bound"]) == ("unsat", None)
