"""What people and scripts expect of a command: exit codes, logs, narrow terminals, completion."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from boundmesh.cli import command_line
from tests.conftest import Command

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
NEAR, FAR, MLP = (DIGITS / name for name in ("near.vnnlib", "far.vnnlib", "mlp.onnx"))
ROOT = Path(__file__).parents[1]
COMMANDS = ("", *command_line().commands)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_a_benchmark_whose_instances_all_fail_exits_with_1(
    command: Command, tmp_path: Path
) -> None:
    lines = f"{MLP},{NEAR},60\n", f"{MLP},absent.vnnlib,60\n"
    for some, code in ((lines[1:], 1), (lines, 0)):
        (tmp_path / "list.csv").write_text("".join(some))
        assert command("bench", tmp_path / "list.csv").code == code


def interrupted_at(module: str, finds: str) -> subprocess.CompletedProcess[str]:
    """Run `verify` in a child that runs the lines `finds` when it first imports a module."""
    script = (
        "import signal, sys, importlib.abc\n"
        "class Finder(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}:\n"
        f"{indent(finds, 12 * ' ')}"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"sys.argv = ['boundmesh', 'verify', {str(NEAR)!r}, '--network', {str(MLP)!r}]\n"
        "from boundmesh.cli import main\n"
        "main()\n"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          timeout=60, env=ENVIRONMENT)  # fmt: skip


def test_an_interrupted_command_exits_with_130() -> None:
    # The child interrupts itself at the first module that reading a network imports.
    outcome = interrupted_at("boundmesh.api", "signal.raise_signal(signal.SIGINT)\n")
    assert (outcome.returncode, outcome.stdout) == (130, "")
    assert "interrupted" in outcome.stderr and "Traceback" not in outcome.stderr


def test_a_library_that_fails_as_its_import_is_interrupted_is_no_defect() -> None:
    # Libraries in C turn an interruption of their import into errors of other kinds.
    failing = (
        "try: signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt: raise ImportError('initialization failed')\n"
    )
    outcome = interrupted_at("onnxruntime", failing)
    assert (outcome.returncode, outcome.stdout) == (130, "")
    assert "interrupted" in outcome.stderr
    assert "Traceback" not in outcome.stderr and "defect" not in outcome.stderr


def test_a_reader_that_has_gone_changes_no_exit_code() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "boundmesh", "verify", FAR, "--network", MLP, "--exit-code"]
    outcome = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60,
                             env=ENVIRONMENT)  # fmt: skip
    os.close(writing)
    assert outcome.returncode == 1
    assert "Broken pipe" not in outcome.stderr and "Traceback" not in outcome.stderr


def test_a_log_has_all_lines_with_their_times_however_quiet_the_console(
    command: Command, tmp_path: Path
) -> None:
    log = tmp_path / "run.log"
    for _ in range(2):
        assert command("verify", NEAR, "--network", MLP, "--quiet", "--log", log).err == ""
    lines = log.read_text().splitlines()
    assert all(line[:4].isdigit() and line[10] == "T" for line in lines)
    names = [line[31:].split(" ")[0] for line in lines]
    for name in ("boundmesh", "command", "network", "attack", "alpha-crown", "unsat"):
        assert names.count(name) == 2


def test_an_error_is_in_the_log(command: Command, tmp_path: Path) -> None:
    (tmp_path / "cut.onnx").write_bytes(MLP.read_bytes()[:100])
    log = tmp_path / "run.log"
    command("verify", NEAR, "--network", tmp_path / "cut.onnx", "--log", log)
    assert "error" in log.read_text() and "cut.onnx" in log.read_text()
    command("bench", tmp_path / "none.csv", "--log", log)
    (tmp_path / "list.csv").write_text(f"{MLP},{NEAR},60\n")
    assert command("bench", tmp_path / "list.csv", "--quiet", "--log", log).err == ""
    assert "mlp near  unsat" in log.read_text()
    assert "solved 1" in log.read_text()


def test_a_log_that_cannot_be_written_is_refused(command: Command, tmp_path: Path) -> None:
    outcome = command("verify", NEAR, "--network", MLP, "--log", tmp_path / "absent" / "run.log")
    assert (outcome.code, outcome.out) == (2, "")
    assert "--log: cannot write" in outcome.words


@pytest.mark.parametrize("width", [40, 60])
def test_what_a_run_tells_fits_a_narrow_terminal(
    command: Command, monkeypatch: pytest.MonkeyPatch, width: int, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    (tmp_path / "list.csv").write_text(f"{MLP.name},{NEAR.name},60\n")
    for name in (MLP.name, NEAR.name):
        shutil.copy(DIGITS / name, tmp_path)
    outcomes = [
        command("verify", NEAR, "--network", MLP),
        command("bounds", NEAR, "--network", MLP, "--method", "ibp"),
        command("bench", tmp_path / "list.csv"),
    ]
    lines = [line for each in outcomes for line in each.err.splitlines()]
    # The line of an instance of a benchmark stays one line, so that it can be searched for.
    assert max(len(line.rstrip()) for line in lines if "mlp near" not in line) <= width
    assert "timed out 0" in outcomes[2].words


@pytest.mark.parametrize("width", [40, 60, 72, 100])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_the_terminal_and_cuts_no_word(
    command: Command, monkeypatch: pytest.MonkeyPatch, width: int, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    outcome = command(*name.split(), "--help")
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= width
    group = command_line()
    described = group.commands[name] if name else group
    if width != 72:
        whole = [option for each in described.params for option in each.opts if option[:1] == "-"]
        assert not [option for option in whole if option not in outcome.out]


@pytest.mark.parametrize(
    ("words", "near"),
    [(("verfy",), "verify"), (("verify", "--tiemout", "3"), "--timeout"),
     (("bench", "--selct", "x"), "--select"), (("bouns", "x"), "bounds")],
)  # fmt: skip
def test_a_misspelled_command_or_option_is_told_the_nearest(
    command: Command, words: tuple[str, ...], near: str
) -> None:
    outcome = command(*words)
    assert outcome.code == 2
    assert near in outcome.words.split(words[0], 1)[1]


BASH = shutil.which("bash")
TRIES = {
    "boundmesh ver": "verify",
    "boundmesh verify --meth": "--method",
    "boundmesh verify --branching f": "fsb",
    "boundmesh bench --comp": "--compare",
}


@pytest.mark.skipif(BASH is None, reason="there is no bash on this machine")
def test_bash_completes_commands_options_and_their_values(tmp_path: Path) -> None:
    program = tmp_path / "boundmesh"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m boundmesh "$@"\n')
    program.chmod(0o755)
    script = f"source <(SHELL={BASH} boundmesh --show-completion)\n"
    for typed in TRIES:
        script += (
            f"COMP_WORDS=({typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()\n"
            "_boundmesh_completion boundmesh; echo ${COMPREPLY[*]}\n"
        )
    environment = {**ENVIRONMENT, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    outcome = subprocess.run([str(BASH), "-c", script], capture_output=True, text=True,
                             timeout=60, env=environment)  # fmt: skip
    assert outcome.stdout.split() == list(TRIES.values()), outcome.stderr


FULL = Path("/dev/full")
"""A device of Linux that takes nothing, as a full disk does."""

needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


def run(*words: object, stdout: Any = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "boundmesh", *map(str, words)], text=True,
                          stdout=stdout, stderr=subprocess.PIPE, timeout=60,
                          env=ENVIRONMENT)  # fmt: skip


@needs_full
@pytest.mark.parametrize("words", [("supports", MLP), ("verify", "--help")], ids=["result", "help"])
def test_a_full_disk_behind_standard_output_is_an_error_of_one_line(
    words: tuple[object, ...],
) -> None:
    with FULL.open("w") as full:
        outcome = run(*words, stdout=full)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("boundmesh: cannot write")
    assert len(outcome.stderr.splitlines()) == 1


@needs_full
def test_an_error_that_nobody_can_read_keeps_its_exit_code() -> None:
    words = [sys.executable, "-m", "boundmesh", "supports", "absent.onnx"]
    with FULL.open("w") as full:
        outcome = subprocess.run(words, stderr=full, timeout=60, env=ENVIRONMENT)
    assert outcome.returncode == 2


def test_a_closed_standard_output_is_an_error_of_one_line() -> None:
    script = f"exec {sys.executable} -m boundmesh supports {MLP} >&-"
    outcome = subprocess.run(script, shell=True, stderr=subprocess.PIPE, text=True, timeout=60,
                             env=ENVIRONMENT)  # fmt: skip
    assert outcome.returncode == 2
    assert outcome.stderr == "boundmesh: cannot write to standard output: it is closed\n"


@needs_full
def test_a_full_disk_ends_the_log_and_not_the_command(command: Command) -> None:
    outcome = command("verify", NEAR, "--network", MLP, "--quiet", "--log", FULL)
    assert (outcome.code, outcome.out) == (0, "unsat\n")
    assert outcome.err == "warning      the log ends here: No space left on device\n"


def test_a_result_takes_the_place_of_no_other_file(command: Command, tmp_path: Path) -> None:
    network = tmp_path / "net.onnx"
    shutil.copy(MLP, network)
    (tmp_path / "link").symlink_to(network)
    query = "verify", NEAR, "--network", network
    for words in (
        (*query, "--json", network),
        (*query, "--report", tmp_path / "link"),
        (*query, "--json", tmp_path / "a", "--result-file", tmp_path / "." / "a"),
        ("bounds", NEAR, "--network", network, "--json", network),
        ("plan", network, "--json", network),
    ):
        outcome = command(*words)
        assert (outcome.code, outcome.out) == (2, "")
        assert "which would be lost" in outcome.words
    assert network.read_bytes() == MLP.read_bytes()
    assert not (tmp_path / "a").exists()


@needs_full
def test_results_that_cannot_be_continued_are_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"{MLP},{NEAR},60\n")
    outcome = command("bench", tmp_path / "list.csv", "--out", FULL)
    assert (outcome.code, outcome.out) == (2, "")
    assert "no file that can be continued" in outcome.words
