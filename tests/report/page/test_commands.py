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


def test_bench_writes_a_page_that_compares_two_results(command: Command, folder: Path) -> None:
    (folder / "instances.csv").write_text("conv.onnx,near.vnnlib,60\nconv.onnx,far.vnnlib,60\n")
    old, new = folder / "old.csv", folder / "new.csv"
    command("bench", str(folder / "instances.csv"), "--out", str(old))
    new.write_text(old.read_text().replace(",unsat,", ",unknown,"))
    words = ["bench", "--compare", str(old), str(new), "--report", str(folder / "page.html")]
    assert command(*words).code == 0
    page = read(folder / "page.html")
    assert page.root.one("p", **{"class": "badge"}).text == "1 verdict of 2 differ"
    ((_, network, prop, was, now, *_),) = page.rows("changes", "Instances whose")
    assert (network, prop, was, now) == ("conv", "near", "unsat", "unknown")
    assert len(page.rows("times", "Instances that both")) == 1
    assert page.section("times").all("figure") and "old.csv" in page.section("asked").text
    assert shown_command(page) == ["boundmesh", *words]
    new.write_text(old.read_text().replace(",unsat,", ",sat,"))
    assert command(*words).code == 2
    assert "contradict each other" in read(folder / "page.html").root.one("header").text


def test_a_comparison_of_equal_results_says_so(command: Command, folder: Path) -> None:
    (folder / "instances.csv").write_text("missing.onnx,near.vnnlib,60\n")
    old = folder / "old.csv"
    command("bench", str(folder / "instances.csv"), "--out", str(old))
    words = ["bench", "--compare", str(old), str(old), "--report", str(folder / "page.html")]
    assert command(*words).code == 0
    page = read(folder / "page.html")
    assert "Every instance" in page.section("changes").text
    assert "No instance was solved" in page.section("times").text


@pytest.mark.parametrize("option", ["--out", "--json", "--plot", "--json-dir"])
def test_a_comparison_refuses_files_that_it_would_not_write(
    command: Command, folder: Path, option: str
) -> None:
    outcome = command("bench", "--compare", "a.csv", "b.csv", option, str(folder / "x.png"))
    assert outcome.code == 2 and f"{option} has nothing to write" in outcome.words


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
