"""Defaults of options, from variables of the environment and from a file.

An option on the command line comes first, then its variable, such as BOUNDMESH_TIMEOUT, then the
file, then the built-in default. A key at the top of the file holds for every command with such an
option; a key in a table, such as `[verify]`, holds for that command alone and comes before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from boundmesh.commands.configuration import Configuration, nearest, read_configuration
from boundmesh.errors import BoundmeshError

PREFIX = "BOUNDMESH_"
FILE = "boundmesh.config"
DEFAULTS = "boundmesh.defaults"
NO_DEFAULT = ("config", "help")
SWITCH = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


@dataclass(frozen=True)
class Default:
    """A value for the option that a command calls `name`, and where it comes from."""

    name: str
    value: Any
    origin: str


def use_defaults(context: typer.Context, file: Path | None) -> None:
    """Set the defaults of a command; the callback of `--config`, which precedes the other options.

    Raises BoundmeshError for a file that cannot be read, a key that no option has, and a value that
    its option refuses.
    """
    if file is not None:
        context.meta[FILE] = file
    if context.parent is None or context.resilient_parsing:
        return
    group = context.parent.command
    assert isinstance(group, TyperGroup) and isinstance(context.command, TyperCommand)
    commands = {name: options_of(command) for name, command in group.commands.items()}
    warn_of_misspelled({key for options in commands.values() for key in options})
    name = str(context.info_name)
    options = commands[name]
    found = _from_file(read_configuration(context.meta.get(FILE), commands), name, options)
    found |= dict(_from_environment(options))
    for key, default in found.items():
        _check(context, options[key], default)
    context.default_map = {default.name: default.value for default in found.values()}
    context.meta[DEFAULTS] = found


def described(context: typer.Context) -> str:
    """Describe the defaults that a command has got: `timeout 60 (boundmesh.toml)`."""
    found: Mapping[str, Default] = context.meta.get(DEFAULTS, {})
    used = {
        key: default
        for key, default in found.items()
        if (source := context.get_parameter_source(default.name)) and source.name == "DEFAULT_MAP"
    }
    return ", ".join(
        f"{key} {_text(default.value)} ({default.origin})" for key, default in used.items()
    )


def options_of(command: Any) -> dict[str, TyperOption]:
    """Return the options of a command that may have a default, by their long names."""
    options = [option for option in command.params if isinstance(option, TyperOption)]
    named = {max(option.opts, key=len).lstrip("-"): option for option in options}
    return {key: option for key, option in named.items() if key not in NO_DEFAULT}


def variable(key: str) -> str:
    """Return the name of an option's variable: `tile-elements` has BOUNDMESH_TILE_ELEMENTS."""
    return PREFIX + key.replace("-", "_").upper()


def warn_of_misspelled(known: set[str]) -> None:
    """Print a warning for each variable whose name is nearly that of an option.

    Other programs may define variables with the same prefix, so unknown ones are not refused.
    """
    names = {variable(key) for key in known} | {variable("config")}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in names:
            near = nearest(name.removeprefix(PREFIX), [n.removeprefix(PREFIX) for n in names], 0.7)
            if near is not None:
                meant = f"boundmesh: warning: {name} has no meaning; did you mean {PREFIX}{near}?"
                typer.echo(meant, err=True)


def _from_file(
    configuration: Configuration | None, command: str, options: Mapping[str, TyperOption]
) -> dict[str, Default]:
    if configuration is None:
        return {}
    values = {**configuration.shared, **configuration.tables.get(command, {})}
    return {
        key: Default(
            str(options[key].name),
            _typed(options[key], value, key, configuration.name),
            configuration.name,
        )
        for key, value in values.items()
        if key in options
    }


def _typed(option: TyperOption, value: Any, key: str, origin: str) -> Any:
    """Return a value of a TOML file in the form that an option takes."""
    if option.is_flag:
        if isinstance(value, bool):
            return value
        raise BoundmeshError(f"{origin}: {key} is {value!r}; expected true or false")
    several = option.multiple or option.nargs > 1
    parts = value if several and isinstance(value, list) else [value]
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, str | int | float):
            raise BoundmeshError(f"{origin}: {key} is {value!r}; expected a number or a text")
    texts = [str(part) for part in parts]
    return texts if several else texts[0]


def _from_environment(options: Mapping[str, TyperOption]) -> Iterator[tuple[str, Default]]:
    for key, option in options.items():
        text = os.environ.get(variable(key), "")
        if not text:
            continue
        value: Any = text
        if option.is_flag:
            if text.lower() not in SWITCH:
                raise BoundmeshError(f"{variable(key)} is '{text}'; expected 1 or 0")
            value = SWITCH[text.lower()]
        elif option.multiple:
            value = [text]
        elif option.nargs > 1:
            value = text.split()
        yield key, Default(str(option.name), value, variable(key))


def _check(context: typer.Context, option: TyperOption, default: Default) -> None:
    try:
        option.process_value(context, default.value)
    except typer.BadParameter as error:
        name = max(option.opts, key=len)
        raise BoundmeshError(
            f"{default.origin}: {name} cannot be '{_text(default.value)}': {error.message}"
        ) from None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(value) if isinstance(value, list) else str(value)
