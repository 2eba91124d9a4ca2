"""Gives a command the options of whole groups: one parameter of a command stands for a group.

A group is a frozen dataclass whose fields are options, in the form of a command's parameters, or
further groups.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter
from typing import Any, get_type_hints


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the options of its groups in the groups' places.

    Typer reads the options from the signature of the result. When the result is called, each group
    is made of the values of its options.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters = inspect.signature(command).parameters.values()
    flat = [
        option for parameter in parameters for option in _expanded(parameter, hints[parameter.name])
    ]

    @wraps(command)
    def run(**values: Any) -> None:
        names = (parameter.name for parameter in parameters)
        command(**{name: _value(name, hints[name], values) for name in names})

    run.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in flat}
    return run


def _expanded(parameter: Parameter, hint: Any) -> Iterator[Parameter]:
    """Return the options of a group, or the parameter itself; all are passed by name."""
    if not is_dataclass(hint):
        yield parameter.replace(annotation=hint, kind=Parameter.KEYWORD_ONLY)
        return
    hints = get_type_hints(hint, include_extras=True)
    for field in fields(hint):
        default = Parameter.empty if field.default is MISSING else field.default
        option = Parameter(field.name, Parameter.KEYWORD_ONLY, default=default)
        yield from _expanded(option, hints[field.name])


def _value(name: str, hint: Any, values: Mapping[str, Any]) -> Any:
    if not is_dataclass(hint):
        return values[name]
    hints = get_type_hints(hint, include_extras=True)
    fields_of_group = {
        field.name: _value(field.name, hints[field.name], values) for field in fields(hint)
    }
    return hint(**fields_of_group)  # type: ignore[operator]
