"""The shape of the code itself: who imports whom, and what a file may look like."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import boundmesh

ROOT = Path(boundmesh.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
IDS = [str(file.relative_to(ROOT)) for file in FILES]

SURFACE = {"api", "bench", "cli", "commands"}
DECIDING = {"bab", "attack", "given", "ladder", "numbers", "questions", "verify"}
# What each room must not import: the rooms uphill of it.
UPHILL = {
    "graph": SURFACE | DECIDING | {"bounds", "mesh", "report", "settings"},
    "rules": SURFACE | DECIDING | {"bounds", "mesh", "report", "settings", "read"},
    "read": SURFACE | DECIDING | {"bounds", "mesh", "report", "settings"},
    "property": SURFACE | DECIDING | {"bounds", "mesh", "report", "settings", "read", "rules"},
    "regions": SURFACE | DECIDING | {"bounds", "mesh", "report", "settings", "read", "rules"},
    "rational": SURFACE | DECIDING | {"bounds", "mesh", "report", "settings", "read", "rules"},
    "verdict": SURFACE | DECIDING | {"bounds", "mesh", "report", "settings", "read", "rules"},
    "settings": SURFACE | DECIDING | {"bounds", "mesh", "report", "read", "rules", "graph"},
    "bounds": SURFACE | DECIDING | {"report", "settings", "read"},
    "mesh": SURFACE | DECIDING | {"report", "read"},
    "attack": SURFACE | {"bab", "verify", "numbers"},
    "bab": SURFACE | {"verify", "numbers"},
    "report": SURFACE | {"attack", "bab", "bounds"},
    "verify": SURFACE | {"numbers"},
}
# Libraries that only these rooms may know.
HOMES = {
    "torch.distributed": {"mesh"},
    "onnx": {"read"},
    "onnx_ir": {"read"},
    "onnxscript": {"read"},
    "typer": {"cli", "commands"},
    "rich": {"report", "commands"},
    "matplotlib": {"report"},
}


def room(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imports(module: ast.Module) -> Iterator[str]:
    """Every imported module and name with its dots, wherever in the file it is imported."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def shared_names() -> frozenset[str]:
    """What some file imports of another, such as boundmesh.bounds.crown.Problem."""
    return frozenset(name for file in FILES for name in imports(tree(file)))


def is_part_of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_imports_run_downhill(file: Path) -> None:
    forbidden = UPHILL.get(room(file), set())
    met = {name for name in imports(tree(file)) for up in forbidden
           if is_part_of(name, f"boundmesh.{up}")}  # fmt: skip
    assert not met


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_libraries_are_imported_only_at_home(file: Path) -> None:
    met = {name for name in imports(tree(file)) for library, homes in HOMES.items()
           if is_part_of(name, library) and room(file) not in homes}  # fmt: skip
    assert not met


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_files_have_at_most_400_lines(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_modules_and_what_others_import_of_them_have_docstrings(file: Path) -> None:
    module = tree(file)
    if not module.body:
        return
    assert ast.get_docstring(module), "the module has none"
    dotted = ".".join(("boundmesh", *file.relative_to(ROOT).with_suffix("").parts))
    silent = [
        node.name
        for node in module.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and f"{dotted}.{node.name}" in shared_names()
        and not ast.get_docstring(node)
    ]
    assert not silent


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_no_probing_and_no_swallowed_errors(file: Path) -> None:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: bare except"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "hasattr", f"line {node.lineno}: hasattr"
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), f"line {node.lineno}: import *"


def test_the_command_line_starts_without_torch() -> None:
    code = (
        "import sys, boundmesh.cli; print([m for m in ('torch', 'onnx', 'onnxruntime', 'onnx_ir')"
        " if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("name", boundmesh.__all__)
def test_public_names_are_documented(name: str) -> None:
    assert getattr(boundmesh, name).__doc__


def test_functions_keep_their_names_beside_rooms_of_the_same_name() -> None:
    code = (
        "import boundmesh.verify, boundmesh.bounds.crown, boundmesh;"
        "from boundmesh.verify import Result;"
        "print(boundmesh.verify.__module__, boundmesh.bounds.__module__)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["boundmesh.api", "boundmesh.api"]
