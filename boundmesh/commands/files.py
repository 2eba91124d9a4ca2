"""Reads the files that a command is given, and checks that they can be read and written."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path

from boundmesh.errors import BoundmeshError, ReadError

ENTER = os.W_OK | os.X_OK
"""The rights that a folder must give so that files can be made in it."""

WHOLE = re.compile(r"[0-9]{1,18}")
"""A length on the command line; digits of other scripts are none."""


def check_order(
    command: str, words: list[str], spec: str | None, networks: list[str] | None
) -> None:
    """Raise BoundmeshError where network and property are swapped, or arguments are left over.

    `words` are the arguments left over. The message shows the call in its right form. Only the
    names of the files are compared: a file with an unusual name is read as given.
    """
    given = [word for word in (spec, *words, *(networks or [])) if word is not None]
    found = {
        kind: next((word for word in given if _looks_like(kind, Path(word))), None)
        for kind in (".vnnlib", ".onnx")
    }
    prop, network = found[".vnnlib"] or "SPEC.vnnlib", found[".onnx"] or "FILE.onnx"
    usage = f"the right order is: boundmesh {command} {prop} --network {network}"
    if spec is not None and _looks_like(".onnx", Path(spec)) and (found[".vnnlib"] or not networks):
        raise BoundmeshError(f"{spec} is a network and stands in the property's place; {usage}")
    if words:
        if _looks_like(".onnx", Path(words[0])) and not networks:
            raise BoundmeshError(f"{words[0]} is a network without --network before it; {usage}")
        raise BoundmeshError(f"'{words[0]}' is one word too many; {usage}")
    for value in networks or []:
        if _looks_like(".vnnlib", Path(value)):
            raise BoundmeshError(f"--network is {value}, which is a property; {usage}")


def _looks_like(suffix: str, file: Path) -> bool:
    return file.name.removesuffix(".gz").endswith(suffix)


def one_network(values: list[str] | None) -> tuple[str | None, Path]:
    """Return the name (or None) and the file of the one `--network`.

    Raises BoundmeshError where there is none, or more than one.
    """
    values = values or []
    if len(values) != 1:
        raise BoundmeshError(
            f"--network was given {len(values)} times; a query has one network here: give it once"
        )
    (value,) = values
    name, sign, file = value.partition("=")
    if sign and name.replace("_", "a").isalnum() and not _exists(Path(value)):
        return name, Path(file)
    return None, Path(value)


def shapes_of(values: list[str] | None) -> dict[str, tuple[int, ...]]:
    """Return the shapes that `--shape INPUT=1,3,48,192` gives, by the input's name.

    Raises BoundmeshError for anything else, and for two shapes of one input.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for value in values or []:
        name, sign, text = value.rpartition("=")
        lengths = text.replace("x", ",").split(",")
        if not sign or not name or not all(WHOLE.fullmatch(length.strip()) for length in lengths):
            raise BoundmeshError(
                f"--shape is {value}; expected the input's name and whole numbers, as in "
                "--shape input=1,3,48,192"
            )
        if name in shapes:
            raise BoundmeshError(f"--shape was given twice for {name}; give it once")
        shapes[name] = tuple(int(length) for length in lengths)
    return shapes


def all_networks(values: list[str] | None) -> dict[str | None, Path]:
    """Return the file of each `--network`, by its name; the key None stands for no name.

    Raises BoundmeshError where there is none, or two have one name.
    """
    networks: dict[str | None, Path] = {}
    for value in values or []:
        name, file = one_network([value])
        if name in networks:
            which = "without a name" if name is None else f"named '{name}'"
            raise BoundmeshError(
                f"--network was given twice {which}; where a query has several networks, give each "
                "as --network NAME=FILE"
            )
        networks[name] = file
    if not networks:
        one_network([])
    return networks


def check_readable(*files: Path | None) -> None:
    """Check before torch is imported that no file is missing."""
    for file in files:
        if file is not None and not _exists(file):
            raise ReadError(f"{file}: there is no such file")


def _exists(file: Path) -> bool:
    """Return True if the file exists; a name that the system refuses belongs to no file."""
    try:
        return file.exists()
    except (OSError, ValueError):
        return False


def check_writable(option: str, file: Path | None) -> None:
    """Check before the work that a result can be written."""
    if file is not None and (reason := _obstacle(file)):
        raise BoundmeshError(f"{option}: cannot write {file}: {reason}")


def check_folder(option: str, folder: Path | None) -> None:
    """Check before the work that results can be written into a folder that need not exist."""
    if folder is None:
        return
    there = next((each for each in (folder, *folder.absolute().parents) if _exists(each)), folder)
    if not os.path.isdir(there):
        raise BoundmeshError(f"{option}: cannot make the folder {folder}: {there} is no folder")
    if not os.access(there, ENTER):
        raise BoundmeshError(
            f"{option}: cannot write into the folder {folder}: {os.strerror(errno.EACCES)}"
        )


def _obstacle(file: Path) -> str:
    """Return why a file cannot be written; the result is empty where it seems that it can."""
    try:
        place = _place(file)
    except ValueError as error:
        return str(error)
    if os.path.islink(place):
        return os.strerror(errno.ELOOP)
    if os.path.isdir(place):
        return "it is a folder"
    folder = os.path.dirname(place)
    if not os.path.isdir(folder):
        return f"there is no folder {file.parent}"
    denied = not os.access(*((place, os.W_OK) if os.path.exists(place) else (folder, ENTER)))
    return os.strerror(errno.EACCES) if denied else ""


def check_results(results: Mapping[str, Path | None], *inputs: Path | None) -> None:
    """Check before the work that each result can be written, and takes no other file's place.

    `results` maps options to files. Raises BoundmeshError where a result would replace another one
    or an input. Devices such as /dev/null keep nothing, so they may stand for several results.
    """
    taken = {_place(file): "it is an input" for file in inputs if file is not None}
    for option, file in results.items():
        check_writable(option, file)
        if file is None or (_exists(file) and not file.is_file()):
            continue
        place = _place(file)
        if place in taken:
            raise BoundmeshError(
                f"{option}: cannot write {file}: {taken[place]}, which would be lost; name another "
                "file"
            )
        taken[place] = f"it holds the result of {option}"


def _place(file: Path) -> str:
    """Return one path for all names of a file."""
    return os.path.realpath(file)
