"""Finds the names that Python code reads, and tells code that stays as it is from other code."""

from __future__ import annotations

import dis
import types

# Packages whose modules, functions and classes stay as they are.
FIXED = frozenset(("torch", "math", "numpy", "functools", "operator", "itertools", "typing",
                   "collections", "builtins", "abc", "torchvision", "einops", "_operator",
                   "_functools"))  # fmt: skip
# Code that uses one of these names may read anything.
OPAQUE = frozenset(("eval", "exec", "globals", "locals", "vars", "__import__", "__dict__"))


class NoContentError(Exception):
    """A module depends on something whose changes cannot be seen."""


def is_fixed(home: str) -> bool:
    """Return True for the name of a Python module whose contents stay as they are."""
    return home.split(".")[0] in FIXED


def names_read(code: types.CodeType) -> set[str]:
    """Return the names that code reads, also in the functions inside of it.

    Raises NoContentError where it imports a package that may change.
    """
    for instruction in dis.get_instructions(code):
        if (
            instruction.opname == "IMPORT_NAME"
            and str(instruction.argval).split(".")[0] not in FIXED
        ):
            raise NoContentError(f"import {instruction.argval}")
    names = {*code.co_names}
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            names |= names_read(part)
    return names


def globals_read(code: types.CodeType) -> set[str]:
    """Return the names of globals that code reads, also in the functions inside of it."""
    names = {
        str(instruction.argval)
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            names |= globals_read(part)
    return names
