"""Where the values of options come from: command line, variables, boundmesh.toml."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from boundmesh.cli import command_line
from boundmesh.commands.defaults import options_of, variable
from tests.conftest import Command, Outcome

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
QUERY = ("near.vnnlib", "--network", "mlp.onnx", "--method", "ibp")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a network and a property."""
    for name in ("mlp.onnx", "near.vnnlib"):
        shutil.copy(DIGITS / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings_of(command: Command, *words: object) -> dict[str, Any]:
    """The settings that a run of `boundmesh verify` reports."""
    outcome = command("verify", *QUERY, "--json", "result.json", *words)
    assert outcome.code == 0, outcome.err
    settings: dict[str, Any] = json.loads(Path("result.json").read_text())["settings"]
    return settings


def refused(outcome: Outcome, *expected: str) -> None:
    """The outcome is one line with all that is expected, and no traceback."""
    assert (outcome.code, outcome.out) == (2, "")
    assert len(outcome.err.splitlines()) == 1
    for words in expected:
        assert words in outcome.words


def test_command_line_precedes_variable_precedes_table_precedes_top_precedes_built_in(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings_of(command)["seed"] == 0
    (folder / "boundmesh.toml").write_text("seed = 1\n")
    assert settings_of(command)["seed"] == 1
    (folder / "boundmesh.toml").write_text("seed = 1\n[verify]\nseed = 2\n[bench]\nseed = 9\n")
    assert settings_of(command)["seed"] == 2
    monkeypatch.setenv("BOUNDMESH_SEED", "3")
    assert settings_of(command)["seed"] == 3
    assert settings_of(command, "--seed", 4)["seed"] == 4


def test_a_file_may_give_every_kind_of_option(command: Command, folder: Path) -> None:
    (folder / "boundmesh.toml").write_text(
        'timeout = 50\ndtype = "float64"\ntile_elements = 5000\nquiet = true\n'
        '[verify]\nnetwork = "mlp.onnx"\nmethod = "ibp"\njson = "result.json"\n'
    )
    assert command("verify", "near.vnnlib").err == ""
    settings = json.loads(Path("result.json").read_text())["settings"]
    found = settings["timeout"], settings["dtype"], settings["bounds"]["tile_elements"]
    assert found == (50, "float64", 5000)


def test_the_table_of_pyproject_is_read_where_there_is_no_file_of_its_own(
    command: Command, folder: Path
) -> None:
    (folder / "pyproject.toml").write_text("[tool.boundmesh]\nseed = 5\n")
    assert settings_of(command)["seed"] == 5
    (folder / "boundmesh.toml").write_text("threads = 1\n")
    assert settings_of(command)["seed"] == 0


@pytest.mark.parametrize("text", ["[project]\nname = 'other'\n", "damaged ["])
def test_a_pyproject_that_is_not_about_boundmesh_changes_nothing(
    command: Command, folder: Path, text: str
) -> None:
    (folder / "pyproject.toml").write_text(text)
    assert settings_of(command)["seed"] == 0


def test_another_file_is_named_before_or_after_the_command_or_by_a_variable(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "boundmesh.toml").write_text("unheard-of = 1\n")
    (folder / "other.toml").write_text("seed = 6\n")
    assert settings_of(command, "--config", "other.toml")["seed"] == 6
    command("--config", "other.toml", "verify", *QUERY, "--json", "before.json")
    assert json.loads(Path("before.json").read_text())["settings"]["seed"] == 6
    monkeypatch.setenv("BOUNDMESH_CONFIG", "other.toml")
    assert settings_of(command)["seed"] == 6


def test_defaults_of_other_commands_are_left_to_them(command: Command, folder: Path) -> None:
    (folder / "boundmesh.toml").write_text('branching = "fsb"\n[bench]\nevery = 2\n')
    outcome = command("bounds", "near.vnnlib", "--network", "mlp.onnx", "--method", "ibp")
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tiemout = 3", ("no option 'tiemout'", "did you mean 'timeout'?")),
        ("[verify]\nwxyz = 3", ("verify has no option 'wxyz'", "known are:")),
        ("[vrify]\nseed = 3", ("[vrify] is no command", "did you mean 'verify'?")),
        ('timeout = "soon"', ("--timeout cannot be 'soon'",)),
        ("timeout = true", ("timeout is True", "expected a number")),
        ("quiet = 1", ("quiet is 1", "expected true or false")),
        ("seed = [1, 2]", ("seed is [1, 2]",)),
        ("seed = 2026-01-01", ("seed is ",)),
        ('method = "magic"', ("--method cannot be 'magic'", "crown-ibp")),
        ("seed = ", ("no valid TOML",)),
        ("spec = 'near.vnnlib'", ("no option 'spec'",)),
        ("config = 'x'", ("no option 'config'",)),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_name(
    command: Command, folder: Path, text: str, expected: tuple[str, ...]
) -> None:
    (folder / "boundmesh.toml").write_text(text + "\n")
    refused(command("verify", *QUERY), "boundmesh.toml", *expected)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_refused(
    command: Command, folder: Path, content: bytes | None
) -> None:
    if content is not None:
        (folder / "mine.toml").write_bytes(content)
    refused(command("verify", *QUERY, "--config", "mine.toml"), "mine.toml, the file of defaults")


def test_a_pyproject_that_is_asked_for_needs_the_table(command: Command, folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    refused(command("verify", *QUERY, "--config", "pyproject.toml"), "no table [tool.boundmesh]")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("BOUNDMESH_TIMEOUT", "soon", "--timeout cannot be 'soon'"),
        ("BOUNDMESH_EXIT_CODE", "perhaps", "expected 1 or 0"),
        ("BOUNDMESH_THREADS", "0", "--threads cannot be '0'"),
    ],
)
def test_a_variable_that_is_wrong_is_refused_by_name(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str,
    expected: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(name, value)
    refused(command("verify", *QUERY), name, expected)


def test_empty_variables_and_those_of_others_change_nothing(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOUNDMESH_SEED", "")
    monkeypatch.setenv("BOUNDMESH_SERVICE_HOST", "10.0.0.1")
    outcome = command("verify", *QUERY, "--quiet")
    assert (outcome.code, outcome.err) == (0, "")


def test_a_misspelled_variable_is_told(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOUNDMESH_TIEMOUT", "3")
    outcome = command("verify", *QUERY, "--quiet")
    assert outcome.code == 0
    assert "BOUNDMESH_TIEMOUT has no meaning; did you mean BOUNDMESH_TIMEOUT?" in outcome.words


def test_a_name_of_a_file_with_spaces_is_one_value(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mlp.onnx").rename(folder / "my net.onnx")
    monkeypatch.setenv("BOUNDMESH_NETWORK", "my net.onnx")
    assert command("verify", "near.vnnlib").out == "unsat\n"


def test_an_option_on_the_command_line_outweighs_its_opposite_in_the_file(
    command: Command, folder: Path
) -> None:
    (folder / "boundmesh.toml").write_text("quiet = true\nseed = 7\n")
    outcome = command("verify", *QUERY, "--verbose")
    assert "seed 7 (boundmesh.toml)" in outcome.words
    assert "quiet true" not in outcome.words
    refused(command("verify", *QUERY, "--quiet", "--verbose"), "contradict")


def test_every_option_of_every_command_has_a_variable_of_its_own() -> None:
    commands = command_line().commands
    for name, each in commands.items():
        options = options_of(each)
        assert len({variable(key) for key in options}) == len(options)
        has_file = any(param.name == "config" for param in each.params)
        assert has_file == (name != "supports")
