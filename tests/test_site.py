"""What the documentation site is made of besides its pages: references, notebooks, navigation."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import boundmesh
from boundmesh.cli import command_line
from boundmesh.commands.defaults import options_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "site"))

import make_site  # noqa: E402


def test_the_command_reference_has_every_command_and_option() -> None:
    page = make_site.commands()
    for name, command in command_line().commands.items():
        section = page.split(f"## boundmesh {name}\n")[1].split("\n## ")[0]
        assert not [key for key in options_of(command) if f"--{key}" not in section]


def test_the_python_reference_has_every_public_name() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: boundmesh\..*?\.?(\w+)$", page, re.MULTILINE))
    members = set(re.findall(r"\w+", page.split("members: [")[1].split("]")[0]))
    assert not set(boundmesh.__all__) - shown - members


def test_the_navigation_has_every_page_once() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    listed = re.findall(r": ([\w./-]+\.md)$", text, re.MULTILINE)
    made = {"reference/commands.md", *make_site.FILES_OF_THE_ROOT, *make_site.NOTEBOOKS.values()}
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert sorted(listed) == sorted(pages | made)


def test_every_notebook_has_a_page_with_its_code_and_output() -> None:
    notebooks = sorted((ROOT / "examples").glob("*.ipynb"))
    assert {each.name for each in notebooks} == set(make_site.NOTEBOOKS)
    page = make_site.notebook(ROOT / "examples" / "controller.ipynb")
    assert "```python\nimport boundmesh\n" in page
    assert "```text\nunsat\n```" in page


@pytest.mark.parametrize("picture", sorted(DOCS.rglob("*.svg")), ids=lambda path: path.name)
def test_a_picture_has_a_title_and_a_card_that_dark_pages_leave_light(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    assert "<title>" in text
    assert re.search(r'<rect width="\d+" height="\d+" rx="10" fill="#fcfcfa"', text)


def test_tables_of_fields_in_docstrings_become_lists() -> None:
    tables = pytest.importorskip("field_tables", reason="griffe is not installed")
    docstring = "Options.\n\none  the first\ntwo  the second,\n     in two lines\n\nThe end."
    expected = "Options.\n\n- `one`: the first\n- `two`: the second,\n  in two lines\n\nThe end."
    assert tables.with_lists(docstring) == expected
