"""What README and docs say is so: commands run, options exist, keys and operators are complete."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

import boundmesh
from boundmesh.operators import RULES
from boundmesh.read.capabilities import onnx_operators

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits"
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("C*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / ".github").rglob("*.md")),
]
README = PAGES[0].read_text(encoding="utf-8")
TEXTS = [page.read_text(encoding="utf-8") for page in PAGES]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(program: str, text: str = README) -> list[str]:
    """The lines of a page's shell blocks that call `program`, without their comments."""
    found = [line for block in blocks("sh", text) for line in block.splitlines()]
    lines = [line.split("#")[0].strip() for line in found]
    return [line for line in lines if line.startswith(f"{program} ")]


def commands_of_all_pages(program: str) -> list[str]:
    return sorted({line for text in TEXTS for line in commands(program, text)})


def first_column(page: str, heading: str) -> set[str]:
    """The names in backticks in the first column of the table below a heading."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    section = re.split(r"^#+ ", text.split(f"# {heading}\n")[1], flags=re.MULTILINE)[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in rows for name in re.findall(r"`([^`]+)`", cell)}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that README's commands speak of."""
    shutil.copy(DIGITS / "mlp.onnx", tmp_path / "network.onnx")
    shutil.copy(DIGITS / "near.vnnlib", tmp_path / "property.vnnlib")
    shutil.copy(DIGITS / "image.npy", tmp_path / "image.npy")
    np.save(tmp_path / "images.npy", np.load(DIGITS / "image.npy"))
    np.save(tmp_path / "labels.npy", [2])
    (tmp_path / "instances.csv").write_text("network.onnx,property.vnnlib,60\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", commands_of_all_pages("boundmesh"))
def test_the_options_of_commands_that_pages_show_are_in_the_help(command, line):
    words = shlex.split(line)
    called = [word for word in words[1:2] if not word.startswith("--")]
    missing = {word for word in words if word.startswith("--")} - set(
        re.findall(r"--[a-z-]+", command(*called, "--help").out)
    )
    assert not missing


@pytest.mark.parametrize("option", sorted(set(re.findall(r"^\| `(--[a-z-]+)", README, re.M))))
def test_the_options_of_the_readme_are_in_the_help(command, option):
    assert option in command("verify", "--help").out


@each_page
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


@each_page
def test_files_that_pages_name_exist(page):
    named = r"`((?:boundmesh|benchmarks|tests|docs|examples)/[\w./-]+)`"
    missing = [name for name in re.findall(named, page.read_text("utf-8"))
               if not (ROOT / name).exists()]  # fmt: skip
    assert not missing


@each_page
def test_lines_have_at_most_100_characters_tables_and_links_aside(page):
    lines = re.sub(r"\]\([^)]*\)", "]", page.read_text(encoding="utf-8")).splitlines()
    long = [line for line in lines if len(line) > 100 and not line.startswith(("|", "!["))]
    assert not long


def test_one_version_stands_in_package_citation_changelog_and_release_note():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {boundmesh.__version__}\n" in citation
    newest = re.search(r"^## \[([\d.]+)\] - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    assert newest and newest[1] == boundmesh.__version__
    assert f"\ndate-released: {newest[2]}\n" in citation
    assert (ROOT / "docs" / "releases" / f"{boundmesh.__version__}.md").exists()


@pytest.mark.parametrize("target", ["lint", "types", "test"])
def test_ci_calls_the_make_targets_that_a_developer_calls(target):
    assert f"\nmake {target}\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_keys_of_all_json_results_are_documented(command, here):
    command("verify", "property.vnnlib", "--network", "network.onnx", "--json", "verify.json")
    command("bounds", "property.vnnlib", "--network", "network.onnx", "--json", "bounds.json")
    verdict, numbers = (json.loads(Path(f"{name}.json").read_text()) for name in
                        ("verify", "bounds"))  # fmt: skip
    assert first_column("json.md", "`boundmesh verify … --json FILE`") == set(verdict)
    assert first_column("json.md", "`boundmesh bounds … --json FILE`") == set(numbers)
    words = ("images.npy", "--eps", "0.01", "--json", "certify.json")
    command("certify", "network.onnx", *words)
    robust = json.loads(Path("certify.json").read_text())
    assert first_column("json.md", "`boundmesh certify … --json FILE`") == set(robust)
    command("plan", "network.onnx", "--json", "plan.json")
    planned = json.loads(Path("plan.json").read_text())
    named = first_column("json.md", "`boundmesh plan … --json FILE`")
    assert named == set(planned)


def test_every_operator_is_documented():
    assert first_column("operators.md", "Operators and their rules") == set(RULES)


def test_every_onnx_operator_is_documented():
    assert first_column("operators.md", "ONNX operators") == set(onnx_operators())


def test_the_examples_are_small():
    assert sum(path.stat().st_size for path in DIGITS.iterdir()) < 200_000
    assert np.load(DIGITS / "image.npy").shape == (1, 1, 8, 8)


def constants_of(file: Path) -> set[str]:
    """Every text in a file of code; the parts of a formatted text stand for themselves."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return {node.value for node in nodes if isinstance(node, ast.Constant)
            and isinstance(node.value, str)}  # fmt: skip


def test_the_messages_on_the_page_of_errors_are_those_of_the_code():
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    table = page.split("| message | what to do |")[1].split("\n\n")[0]
    shown = re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE)
    files = (ROOT / "boundmesh").rglob("*.py")
    texts = {text for file in files for text in constants_of(file)}
    parts = [part.strip(" '") for message in shown for part in message.split("…")]
    missing = [part for part in parts if not any(part in text for text in texts)]
    assert len(shown) > 10 and not missing
