"""The shape of the code itself: who imports whom, and what a file may look like."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

import boundmesh
from boundmesh.operators import RULES

ROOT = Path(boundmesh.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# Every room, from the lowest floor to the highest: a file imports from its own room and from those
# before it.
FLOORS = (
    "errors",
    "register",
    "ranges",
    "rational",
    "mesh_shape",
    "verdict",
    "regions",
    "conditions",
    "property",
    "settings",
    "named_options",
    "runtime",
    "kernels",
    "operators",
    "graph",
    "read",
    "models",
    "bounds",
    "selfcheck",
    "mesh",
    "attack",
    "proof",
    "training",
    "jacobian",
    "search",
    "plan",
    "result",
    "run",
    "lookout",
    "decision",
    "verify",
    "certify",
    "api",
    "report",
    "bench",
    "commands",
    "cli",
    "__main__",
)
# Imported only where they are used.
SCHEDULES = ("boundmesh.mesh.gather", "boundmesh.mesh.exchange", "boundmesh.mesh.runtime.traffic")
# Libraries that only these rooms may import.
HOMES = {
    "torch.distributed": {"mesh"},
    "onnx": {"read"},
    "onnx_ir": {"read"},
    "onnxscript": {"read"},
    "typer": {"cli", "commands"},
    "rich": {"report", "commands"},
    "jinja2": {"report"},
    "matplotlib": {"report"},
    "PIL": {"read"},
}

# Words that are an operator's name and mean something else in a file.
OTHER_MEANINGS = {
    "settings.py": {"gather"},  # the schedule
    "mesh/runtime/traffic.py": {"gather"},  # the schedule
    "plan/layouts.py": {"gather"},  # the schedule
    "plan/work.py": {"gather"},  # the schedule
    "report/cactus.py": {"log"},  # the scale of an axis
    "kernels/adam_triton.py": {"scale"},  # a parameter of a kernel
    "kernels/windows_triton.py": {"shift", "step"},  # parameters of kernels
}


def room(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


@cache
def imports(file: Path) -> frozenset[str]:
    """Every imported module and name with its dots, wherever in the file it is imported."""
    found: set[str] = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def failing(problems: Callable[[Path], Iterable[str]]) -> dict[str, list[str]]:
    """The files with problems, and their problems."""
    found = {str(file.relative_to(ROOT)): sorted(problems(file)) for file in FILES}
    return {name: each for name, each in found.items() if each}


@cache
def shared_names() -> frozenset[str]:
    """What some file imports of another, such as boundmesh.bounds.methods.crown.Problem."""
    return frozenset(name for file in FILES for name in imports(file))


def is_part_of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


def imported(file: Path) -> set[str]:
    """The modules of boundmesh that a file imports, wherever in the file."""
    found = set()
    for name in imports(file):
        while name and name not in MODULES:
            name = name.rpartition(".")[0]
        found.add(name)
    return found - {"", module_of(file)}


def test_every_room_has_a_floor() -> None:
    assert {room(file) for file in FILES} == {*FLOORS, "__init__"}


def test_imports_run_downhill() -> None:
    def uphill(file: Path) -> set[str]:
        if room(file) == "__init__":
            return set()
        above = FLOORS[FLOORS.index(room(file)) + 1 :]
        return {name for name in imported(file) if [*name.split("."), ""][1] in above}

    assert not failing(uphill)


def test_no_file_imports_itself_by_way_of_others() -> None:
    left = {name: imported(file) for name, file in MODULES.items() if name != "boundmesh"}
    while left:
        done = {name for name, others in left.items() if not others & left.keys()}
        assert done, f"these import each other: {sorted(left)}"
        left = {name: others for name, others in left.items() if name not in done}


def loaded_after(code: str) -> set[str]:
    """The modules in memory after a new interpreter has run `code`."""
    code = f"{code}\nimport sys; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(answer.stdout.split())


def test_importing_the_package_loads_no_torch() -> None:
    assert "torch" not in loaded_after("import boundmesh")


def test_a_run_on_one_device_loads_no_schedule_of_a_mesh() -> None:
    code = """
import numpy as np, torch, boundmesh
net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
graph = boundmesh.from_torch(net, (1, 2))
boundmesh.bounds(graph, boundmesh.Box(-np.ones(2), np.ones(2)))
"""
    found = loaded_after(code)
    assert not {name for name in found for part in SCHEDULES if is_part_of(name, part)}


def test_operators_are_named_only_where_they_are_read_and_defined() -> None:
    def named(file: Path) -> set[str]:
        if room(file) in ("operators", "read"):
            return set()
        words = {node.value for node in ast.walk(tree(file)) if isinstance(node, ast.Constant)}
        names = {word for word in words if isinstance(word, str)} & RULES.keys()
        return names - OTHER_MEANINGS.get(file.relative_to(ROOT).as_posix(), set())

    assert not failing(named)


def test_libraries_are_imported_only_at_home() -> None:
    def away(file: Path) -> set[str]:
        return {
            name
            for name in imports(file)
            for library, homes in HOMES.items()
            if is_part_of(name, library) and room(file) not in homes
        }

    assert not failing(away)


def test_files_have_at_most_400_lines() -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert not {file: length for file, length in lengths.items() if length > 400}


def test_modules_and_what_others_import_of_them_have_docstrings() -> None:
    def silent(file: Path) -> list[str]:
        module = tree(file)
        if not module.body:
            return []
        dotted = ".".join(("boundmesh", *file.relative_to(ROOT).with_suffix("").parts))
        return ([] if ast.get_docstring(module) else ["the module"]) + [
            node.name
            for node in module.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and f"{dotted}.{node.name}" in shared_names()
            and not ast.get_docstring(node)
            and "overload" not in [ast.unparse(each) for each in node.decorator_list]
        ]

    assert not failing(silent)


def test_no_probing_and_no_swallowed_errors() -> None:
    def careless(file: Path) -> Iterator[str]:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                yield f"line {node.lineno}: bare except"
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr":
                yield f"line {node.lineno}: hasattr"
            if isinstance(node, ast.ImportFrom) and any(each.name == "*" for each in node.names):
                yield f"line {node.lineno}: import *"

    assert not failing(careless)


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
        "import boundmesh.verify, boundmesh.bounds.methods.crown, boundmesh;"
        "from boundmesh.result import Result;"
        "print(boundmesh.verify.__module__, boundmesh.bounds.__module__)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["boundmesh.api.deciding", "boundmesh.api.bounding"]
