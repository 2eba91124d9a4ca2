"""Reads `boundmesh.toml`, or the table `[tool.boundmesh]` of `pyproject.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from boundmesh.errors import BoundmeshError

OWN, PROJECT, TABLE = Path("boundmesh.toml"), Path("pyproject.toml"), "tool.boundmesh"

Known = Mapping[str, Iterable[str]]
"""The options of each command, by the command's name."""


@dataclass(frozen=True)
class Configuration:
    """What a file of defaults contains.

    name    the file, as messages name it
    shared  the keys at the top, which hold for every command with such an option
    tables  the keys of each command's own table
    """

    name: str
    shared: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, Any]]


def read_configuration(file: Path | None, known: Known) -> Configuration | None:
    """Read `file`, or, where it is None, the file of the working folder, if there is one.

    Raises BoundmeshError where the file cannot be read, and where it has a key or table that is
    not in `known`.
    """
    chosen = file or next((path for path in (OWN, PROJECT) if path.is_file()), None)
    if chosen is None:
        return None
    content, name = _parse(chosen, wanted=file is not None), str(chosen)
    if chosen.name == PROJECT.name:
        name = f"{chosen} [{TABLE}]"
        content = content.get("tool", {}).get("boundmesh")
        if content is None and file is None:
            return None
    if not isinstance(content, dict):
        raise BoundmeshError(f"{chosen} has no table [{TABLE}]")
    shared = {key: value for key, value in content.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in content.items() if isinstance(value, dict)}
    for table in tables:
        if table not in known:
            raise BoundmeshError(f"{name}: [{table}] is no command{_meant(table, known)}")
    option_names = {option for options in known.values() for option in options}
    return Configuration(
        name,
        _spelled(shared, option_names, f"{name}: there is no option"),
        {
            table: _spelled(keys, known[table], f"{name}: {table} has no option")
            for table, keys in tables.items()
        },
    )


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the known word that is most like `word`, or None where none is like it."""
    return next(iter(get_close_matches(word, list(known), 1, likeness)), None)


def _parse(file: Path, *, wanted: bool) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BoundmeshError(f"cannot read {file}, the file of defaults: {reason}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # A damaged pyproject.toml that says nothing of boundmesh is no concern of boundmesh.
        if file == PROJECT and not wanted and TABLE not in text:
            return {}
        raise BoundmeshError(f"{file} is no valid TOML: {error}") from None


def _spelled(keys: Mapping[str, Any], known: Iterable[str], problem: str) -> dict[str, Any]:
    """Return the keys with dashes, as options are written; BoundmeshError for unknown ones."""
    spelled = {key.replace("_", "-"): value for key, value in keys.items()}
    for key in spelled:
        if key not in known:
            raise BoundmeshError(f"{problem} '{key}'{_meant(key, known)}")
    return spelled


def _meant(word: str, known: Iterable[str]) -> str:
    near = nearest(word, known)
    return f"; did you mean '{near}'?" if near else f"; known are: {' '.join(sorted(known))}"
