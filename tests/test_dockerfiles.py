"""The Dockerfiles fit the project: files they copy exist, Python is supported, the command is ours.

No container engine is needed: the instructions are read and compared with the project.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("Dockerfile", "Dockerfile.cuda")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its word, such as COPY, and the rest of it in one line."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.rest)


@cache
def instructions(name: str) -> tuple[Instruction, ...]:
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return tuple(Instruction(*line.split(None, 1)) for line in lines if line.strip())


def rest_of(name: str, word: str) -> list[str]:
    return [each.rest for each in instructions(name) if each.word == word]


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def copied(name: str) -> list[str]:
    """The files and folders that are copied from the project, not from another stage."""
    found = []
    for each in instructions(name):
        if each.word == "COPY" and not each.rest.startswith("--from="):
            found += each.words[:-1]
    return found


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_exists_and_is_not_ignored(name: str) -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if "!" in line]
    assert (ROOT / ".dockerignore").read_text().startswith("*\n") and copied(name)
    for each in copied(name):
        assert (ROOT / each).exists(), each
        assert any(fnmatch(each, pattern) for pattern in kept), f"{each} is ignored"


@pytest.mark.parametrize("name", FILES)
def test_the_build_copies_all_that_the_wheel_is_made_of(name: str) -> None:
    about = project()
    licences = about.get("license-files", ["LICENSE"])
    assert {"pyproject.toml", "boundmesh", about["readme"], *licences} <= set(copied(name))


@pytest.mark.parametrize("name", FILES)
def test_every_stage_starts_from_a_slim_image_of_a_supported_python(name: str) -> None:
    (argument,) = rest_of(name, "ARG")
    tag = argument.removeprefix("PYTHON=")
    numbers = re.fullmatch(r"(\d+)\.(\d+)-slim-(bookworm|trixie)", tag)
    assert numbers is not None, tag
    version = int(numbers[1]), int(numbers[2])
    least = tuple(int(part) for part in project()["requires-python"].removeprefix(">=").split("."))
    assert version >= least
    stages = [rest.split()[0] for rest in rest_of(name, "FROM")]
    assert stages == ["python:${PYTHON}", "python:${PYTHON}"]


@pytest.mark.parametrize("name", FILES)
def test_the_entry_point_is_the_console_script_and_runs_as_a_user(name: str) -> None:
    (entry,) = rest_of(name, "ENTRYPOINT")
    (command,) = rest_of(name, "CMD")
    assert entry == '["boundmesh"]' and "boundmesh" in project()["scripts"]
    assert command == '["--help"]'
    (user,) = rest_of(name, "USER")
    assert any(f"useradd --uid {user} " in rest for rest in rest_of(name, "RUN"))


@pytest.mark.parametrize("name", FILES)
def test_the_installed_wheel_is_the_built_one_at_the_tested_versions(name: str) -> None:
    build, install = (rest for rest in rest_of(name, "RUN") if "pip " in rest)
    folder = re.search(r"pip wheel .*--no-deps --wheel-dir (\S+) \.", build)
    assert folder is not None
    assert f"--from=build {folder[1]} /tmp/wheels" in rest_of(name, "COPY")
    assert "--constraint /tmp/constraints.txt" in install and "/tmp/wheels/*.whl" in install
    assert "constraints.txt /tmp/constraints.txt" in rest_of(name, "COPY")


def test_the_image_for_cpus_takes_the_version_of_torch_that_constraints_name() -> None:
    (install,) = (rest for rest in rest_of("Dockerfile", "RUN") if "pip install" in rest)
    expression = re.search(r"sed -n '([^']*)'", install)
    assert expression is not None and expression[1] == "s/^torch==//p"
    named = re.findall(r"^torch==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert len(named) == 1 and "+" not in named[0]
    assert '"torch==${version}+cpu"' in (ROOT / "Dockerfile").read_text()
