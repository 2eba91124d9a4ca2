"""The wheel that users install: its content, its dependencies, and that its command works."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import boundmesh

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits"
# Neither the folder of the sources nor the environment of the tests may help the installed package.
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def run(*words: object, folder: Path) -> str:
    """Run a command that must succeed; return its standard output."""
    outcome = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=110,
                             cwd=folder, env=CLEAN)  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, folder=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_its_licence_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(file.relative_to(ROOT)) for file in (ROOT / "boundmesh").rglob("*.py")}
    rest = names - sources
    assert sources <= names
    assert "boundmesh/py.typed" in rest
    information = f"boundmesh-{boundmesh.__version__}.dist-info/"
    assert f"{information}licenses/LICENSE" in rest
    templates = (ROOT / "boundmesh" / "report" / "page" / "templates").iterdir()
    data = {"boundmesh/py.typed", *(str(file.relative_to(ROOT)) for file in templates)}
    assert {name for name in rest if not name.startswith(information)} == data


def test_the_installed_command_proves_an_example(wheel: Path, tmp_path: Path) -> None:
    # The libraries of this environment are visible in the new one, so that nothing is downloaded;
    # --no-index makes pip fail where the wheel's own list of dependencies is not met by them.
    home = tmp_path / "new"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))",
               folder=tmp_path).strip()  # fmt: skip
    libraries = {
        sysconfig.get_path("purelib"),
        *(path for path in sys.path if path.endswith("site-packages")),
    }
    Path(site, "libraries.pth").write_text("\n".join(sorted(libraries)) + "\n")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index",
        "--ignore-installed", "--no-deps", wheel, folder=tmp_path)  # fmt: skip
    missing = (
        "import importlib.metadata as m, sys; print(m.distribution('boundmesh').locate_file(''))"
    )
    assert run(python, "-c", missing, folder=tmp_path).strip() == site
    run(sys.executable, "-m", "pip", "--python", python, "check", folder=tmp_path)
    command = home / "bin" / "boundmesh"
    assert run(command, "--version", folder=tmp_path) == f"{boundmesh.__version__}\n"
    query = "verify", DIGITS / "near.vnnlib", "--network", DIGITS / "mlp.onnx"
    assert run(command, *query, folder=tmp_path) == "unsat\n"
