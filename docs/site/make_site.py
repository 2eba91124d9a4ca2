"""Builds the documentation site: gathers its pages in build/docs, then runs MkDocs on them.

    python docs/site/make_site.py          # builds build/site; every warning is an error
    python docs/site/make_site.py --serve  # shows it at http://127.0.0.1:8000 while you write

Besides `docs/`, the pages are the command reference, which is made from the command line itself;
the notebooks in `examples/`; and CONTRIBUTING.md and CHANGELOG.md.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import typer

from boundmesh.cli import EPILOG, command_line
from boundmesh.commands.help_page import sections

ROOT = Path(__file__).parents[2]
DOCS, PAGES = ROOT / "docs", ROOT / "build" / "docs"
FILES_OF_THE_ROOT = ("CONTRIBUTING.md", "CHANGELOG.md")
NOTEBOOKS = {
    "certified_accuracy.ipynb": "start/certified-accuracy.md",
    "controller.ipynb": "start/controller.md",
}
# Links to a notebook, or to a file of the root, lead to the page made of it.
TO_ROOT = re.compile(rf"\]\(((?:\.\./)*)\.\./({'|'.join(map(re.escape, FILES_OF_THE_ROOT))})")


def gather() -> None:
    """Fill build/docs with all pages."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(DOCS, PAGES, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    made = {"reference/commands.md": commands()}
    for name in FILES_OF_THE_ROOT:
        made[name] = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
    for name, target in NOTEBOOKS.items():
        made[target] = notebook(ROOT / "examples" / name)
    for name, text in made.items():
        (PAGES / name).parent.mkdir(exist_ok=True)
        (PAGES / name).write_text(text, encoding="utf-8")
    for page in PAGES.rglob("*.md"):
        up = "../" * (len(page.relative_to(PAGES).parts) - 1)
        text = TO_ROOT.sub(r"](\1\2", page.read_text(encoding="utf-8"))
        for notebook_name, target in NOTEBOOKS.items():
            text = re.sub(rf"\]\((\.\./)*examples/{notebook_name}", f"]({up}{target}", text)
        page.write_text(text, encoding="utf-8")


def notebook(file: Path) -> str:
    """Return a notebook as a page: its texts, its code, and what the code has printed."""
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        source = "".join(cell["source"]).strip()
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            if "text" in output:
                parts.append("```text\n" + "".join(output["text"]).rstrip() + "\n```")
    parts.insert(1, f"This page is the notebook `examples/{file.name}`.")
    return "\n\n".join(parts) + "\n"


def commands() -> str:
    """Return the command reference: what `--help` shows, as a page."""
    group = command_line()
    more = "[Defaults, logs and exit codes](../defaults.md)"
    parts = ["# Commands", f"This page is made from `boundmesh --help`.\n\n{EPILOG} See {more}."]
    root = typer.Context(group, info_name="boundmesh")
    parts += _described(root)
    for name, command in group.commands.items():
        parts += _described(typer.Context(command, info_name=name, parent=root))
    return "\n\n".join(parts) + "\n"


def _described(context: typer.Context) -> list[str]:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"## {context.command_path}", inspect.cleandoc(command.help or "")]
    parts.append(f"```text\n{usage.replace('{', '').replace('}', '')}\n```")
    for title, entries in sections(context).items():
        rows = [f"| <code>{_cell(name)}</code> | {_cell(text)} |" for name, text in entries]
        parts.append("\n".join([f"| {title} | |", "|---|---|", *rows]))
    return parts


def _cell(text: str) -> str:
    """Escape what a cell of a table would take for its own."""
    text = re.sub(r"\s+", " ", text).strip()
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")


def main() -> None:
    """Gather the pages, and build or serve the site."""
    gather()
    action = ["serve"] if "--serve" in sys.argv else ["build", "--strict", "--quiet"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    sys.exit(subprocess.call([sys.executable, "-m", "mkdocs", *action], cwd=ROOT, env=environment))


if __name__ == "__main__":
    main()
