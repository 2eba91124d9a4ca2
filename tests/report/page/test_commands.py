"""`--report` of verify, certify and bench."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command
from tests.report.page.conftest import DIGITS
from tests.report.page.reading import Page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name is markup, with a network and a property."""
    here = tmp_path / "<b onclick=x>&amp; 'it' is\""
    here.mkdir()
    shutil.copy(DIGITS / "conv.onnx", here)
    for name in ("near", "far"):
        shutil.copy(DIGITS / f"{name}.vnnlib", here)
    return here


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def shown_command(page: Page) -> list[str]:
    return shlex.split(page.root.one("pre").text)


def test_verify_writes_a_page_with_the_command_that_made_it(command: Command, folder: Path) -> None:
    words = ["verify", str(folder / "far.vnnlib"), "--network", str(folder / "conv.onnx"),
             "--report", str(folder / "page.html")]  # fmt: skip
    outcome = command(*words)
    assert outcome.code == 0 and outcome.out.startswith("sat\n")
    page = read(folder / "page.html")
    assert shown_command(page) == ["boundmesh", *words]
    assert str(folder / "conv.onnx") in page.section("asked").text
    assert page.section("counterexample").all("img")


def test_certify_writes_a_page(command: Command, folder: Path) -> None:
    np.save(folder / "x.npy", np.load(DIGITS / "image.npy").reshape(1, 1, 8, 8))
    words = ["certify", str(folder / "conv.onnx"), str(folder / "x.npy"), "--eps", "1/255",
             "--report", str(folder / "page.html")]  # fmt: skip
    assert command(*words).code == 0
    page = read(folder / "page.html")
    assert page.root.one("header").attributes["class"] == "verdict unsat"
    assert shown_command(page) == ["boundmesh", *words]


def test_bench_writes_a_page(command: Command, folder: Path) -> None:
    (folder / "instances.csv").write_text(
        "conv.onnx,near.vnnlib,60\nconv.onnx,far.vnnlib,60\nmissing.onnx,far.vnnlib,60\n"
    )
    words = ["bench", str(folder / "instances.csv"), "--report", str(folder / "page.html")]
    assert command(*words).code == 0
    page = read(folder / "page.html")
    assert page.root.one("p", **{"class": "badge"}).text == "2 of 3 solved"
    assert "missing.onnx" in page.section("failures").text
    assert folder.name in page.root.one("h1").text
    assert shown_command(page) == ["boundmesh", *words]


@pytest.mark.parametrize("words", [
    ["verify", str(DIGITS / "near.vnnlib"), "--network", str(DIGITS / "conv.onnx")],
    ["certify", str(DIGITS / "conv.onnx"), str(DIGITS / "image.npy"), "--eps", "0.1"],
    ["bench", str(DIGITS / "instances.csv")],
])  # fmt: skip
def test_a_page_that_cannot_be_written_ends_before_the_work(
    command: Command, tmp_path: Path, words: list[str]
) -> None:
    outcome = command(*words, "--report", str(tmp_path / "missing" / "page.html"))
    assert outcome.code == 2 and outcome.out == ""
    assert "--report" in outcome.words and "there is no folder" in outcome.words
