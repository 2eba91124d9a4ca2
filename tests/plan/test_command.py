"""`boundmesh plan`: what it prints, writes and returns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.plan.models import external_mlp

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
MLP, NEAR, IMAGE = DIGITS / "mlp.onnx", DIGITS / "near.vnnlib", DIGITS / "image.npy"


def test_the_exit_code_says_whether_it_fits(command: Command, tmp_path: Path) -> None:
    model = external_mlp(tmp_path, 784, 20000, 20000, 10)
    words = ("plan", model, "--method", "crown", "--unstable", "1%", "--memory")
    fits, not_enough = (command(*words, memory) for memory in ("80GiB", "1GiB"))
    assert (fits.code, not_enough.code) == (0, 1)
    assert "It fits into 80 GiB on 1 shard;" in fits.out
    assert "It does not fit into 1 GiB" in not_enough.out


def test_a_range_of_shards_has_a_line_for_powers_of_two_and_ends(
    command: Command, tmp_path: Path
) -> None:
    model = external_mlp(tmp_path, 784, 4096, 4096, 10)
    outcome = command("plan", model, "--mesh", "shards=3..20", "--method", "ibp")
    lines = [line.split() for line in outcome.out.splitlines()]
    assert [words[0] for words in lines if words and words[0].isdigit()] == [
        *("3", "4", "8", "16", "20")
    ]
    assert "Times are estimates" in outcome.out


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_a_plan_keeps_to_the_width_of_the_terminal(
    command: Command, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """The terms of memory stand in columns, or below a table without them."""
    monkeypatch.setenv("COLUMNS", str(columns))
    outcome = command("plan", MLP, NEAR, "--mesh", "shards=1..4", "--memory", "80GiB")
    assert max(map(len, outcome.out.splitlines())) <= columns
    (header,) = (line for line in outcome.out.splitlines() if line.startswith("shards"))
    assert ("weights" in header) == (columns == 200)
    if columns < 200:
        assert header.split() == ["shards", "schedule", "peak", "time", "fits"]
        assert "4 shards: weights" in outcome.out


def test_json_holds_the_terms_in_bytes(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    outcome = command("plan", MLP, NEAR, "--mesh", "shards=1..2", "--json", file, "--quiet")
    assert outcome.code == 0 and outcome.err == ""
    content = json.loads(file.read_text())
    for line in content["lines"]:
        assert sum(line["terms"].values()) == pytest.approx(line["peak_bytes"], abs=10)
    assert content["unstable"]["source"] == "counted by IBP"
    assert content["fits"] and content["memory_bytes"] is None


def test_a_point_and_its_radius_are_counted_like_a_property(command: Command) -> None:
    outcome = command("plan", MLP, "--input", IMAGE, "--eps", "0.01")
    assert outcome.code == 0 and "counted by IBP" in outcome.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nothing.onnx",), "there is no such file"),
        ((MLP, "--memory", "much"), "expected a number of bytes"),
        ((MLP, "--mesh", "shards=9..3"), "from a smaller to a larger number"),
        ((MLP, "--unstable", "most"), "from 0% to 100%"),
        ((MLP, "--eps", "0.1"), "--eps needs --input FILE.npy"),
        ((MLP, NEAR, "--input", IMAGE, "--eps", "0.1"), "give one of them"),
        ((NEAR,), "not an ONNX file"),
    ],
)
def test_bad_input_ends_with_one_line(
    command: Command, words: tuple[object, ...], expected: str
) -> None:
    outcome = command("plan", *words, "--quiet")
    assert outcome.code == 2 and outcome.out == ""
    assert expected in outcome.words and "defect" not in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
