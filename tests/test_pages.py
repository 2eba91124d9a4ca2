"""Every block of code in README, docs and notebooks runs, and prints what the page says it prints.

A block that cannot run here says so to its readers, in a comment with the reason:
`# not run by tests: it needs two hosts`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from boundmesh.report import records
from tests.conftest import Command

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
EXCUSE = "# not run by tests: "
# So many seconds may a page take on a machine that is busy with other things.
PATIENCE = 280
# These are shown, and are no code.
SHOWN = {"", "text", "toml"}
RUN = {"sh", "console", "python"}
# What the page says that a line prints, where that is one of these words.
PRINTED = re.compile(r"print\(.*\)  # (unsat|sat|True|False)\b")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
# Lines that take seconds and write no files need to run only once, though several pages show them.
done: dict[str, str] = {}


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of every block of a page that is not excused."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [(language, text) for language, text in found if EXCUSE not in text]


def lines_of(text: str) -> Iterator[str]:
    """The commands of a shell block, without comments and with continued lines joined."""
    for line in text.replace("\\\n", " ").splitlines():
        if command := re.sub(r"(^|\s)#.*", "", line).strip():
            yield command


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that pages speak of, and with `boundmesh` as a command."""
    files = {"network.onnx": "mlp.onnx", "property.vnnlib": "near.vnnlib", "image.npy": "image.npy"}
    for name, example in files.items():
        shutil.copy(DIGITS / example, tmp_path / name)
    image = np.load(DIGITS / "image.npy")
    np.save(tmp_path / "images.npy", np.concatenate([image, image]))
    np.save(tmp_path / "labels.npy", [2, 2])
    for folder in ("", "acasxu", "oval21"):
        (tmp_path / folder).mkdir(exist_ok=True)
        up = "../" if folder else ""
        line = f"{up}network.onnx,{up}property.vnnlib,60\n"
        (tmp_path / folder / "instances.csv").write_text(line)
    (tmp_path / "before.csv").write_text(records.HEADER)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    program = tmp_path / "bin" / "boundmesh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m boundmesh "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_line(line: str, command: Command) -> str:
    """Run one line of a shell; return its standard output."""
    name, *words = shlex.split(line)
    if name == "make":
        target = next(word for word in words if "=" not in word)
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no target: {line}"
        return ""
    starts_ranks = "--mesh" in words and "plan" not in words
    if name == "boundmesh" and not starts_ranks and not re.search("[|&;<>$]", line):
        outcome = command(*words)
        assert outcome.code == 0, f"{line}\n{outcome.err}"
        return outcome.out
    if line not in done:
        shell = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE
        )
        assert shell.returncode == 0, f"{line}\n{shell.stderr}"
        done[line] = shell.stdout
    return done[line]


def run_console(text: str, command: Command) -> None:
    """Run the lines behind `$`, and compare what they print with the lines below each."""
    for part in text.split("$ ")[1:]:
        line, _, expected = part.partition("\n")
        found = run_line(line, command).splitlines()
        wanted = expected.splitlines()
        assert len(found) == len(wanted), f"{line} prints {found}"
        assert all(map(fnmatch, found, wanted)), f"{line} prints {found}"


def run_python(text: str, names: dict[str, Any]) -> None:
    """Run a block after those before it, and look for what it says that it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(text, "page", "exec"), names)
    for word in PRINTED.findall(text):
        assert word in printed.getvalue().splitlines(), printed.getvalue()


def run_ranks(text: str, here: Path) -> None:
    """Run a program on two ranks, as torchrun does."""
    if text in done:
        return
    (here / "check.py").write_text(text)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    outcome = subprocess.run([*start, "check.py"], capture_output=True, text=True, timeout=PATIENCE)
    (word,) = PRINTED.findall(text)
    # Both ranks print at the same time, so lines may run into each other.
    assert outcome.stdout.count(word) == 2, outcome.stderr
    done[text] = outcome.stdout


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run(page: Path, here: Path, command: Command) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for language, text in blocks(page):
        if language == "sh":
            for line in lines_of(text):
                run_line(line, command)
        elif language == "console":
            run_console(text, command)
        elif language == "python" and "torchrun" in text:
            run_ranks(text, here)
        elif language == "python":
            run_python(text, names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_blocks_of_a_page_have_a_language_that_is_run_or_only_shown(page: Path) -> None:
    found = {language for language, _ in BLOCK.findall(page.read_text(encoding="utf-8"))}
    assert found <= SHOWN | RUN


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize(
    "notebook", sorted((ROOT / "examples").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_a_notebook_runs(notebook: Path) -> None:
    content = nbformat.read(notebook, as_version=4)
    where = {"metadata": {"path": str(ROOT)}}
    NotebookClient(content, timeout=PATIENCE, kernel_name="python3", resources=where).execute()
    assert sum(cell.cell_type == "code" for cell in content.cells) >= 4


@pytest.mark.parametrize(
    "notebook", sorted((ROOT / "examples").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_a_notebook_is_small_and_has_outputs_as_text_alone(notebook: Path) -> None:
    assert notebook.stat().st_size < 20_000
    content = nbformat.read(notebook, as_version=4)
    outputs = [each for cell in content.cells for each in cell.get("outputs", [])]
    assert outputs
    assert {(each.output_type, each.get("name")) for each in outputs} == {("stream", "stdout")}
