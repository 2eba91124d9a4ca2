"""Remembers what was computed for a module, while it lives and its content stays as it is."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor, nn

from boundmesh.read.module_content import Content, content_of

Value = TypeVar("Value")


@dataclass(frozen=True)
class _Entry(Generic[Value]):
    """A module, the form of its inputs and its content when the value was computed."""

    module: weakref.ref[nn.Module]
    form: Content
    content: Content
    value: Value


class Remembered(Generic[Value]):
    """The last value of each module that is alive."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry[Value]] = {}

    @property
    def count(self) -> int:
        """The number of modules with a value."""
        return len(self._entries)

    def __call__(
        self, module: nn.Module, arguments: tuple[Tensor, ...], compute: Callable[[], Value]
    ) -> Value:
        """Return the value that `compute` gave for the same module and form of arguments.

        It is computed anew where the module or anything that it depends on has changed, or where
        this cannot be known.
        """
        form = tuple(
            (tuple(argument.shape), argument.dtype, argument.device) for argument in arguments
        )
        content, key = content_of(module), id(module)
        known = self._entries.get(key)
        same = known is not None and known.module() is module and known.form == form
        if known is not None and same and content is not None and known.content == content:
            return known.value
        self._entries.pop(key, None)
        value = compute()
        # Computing may change a module. Then the value belongs to no content.
        if content is not None and content_of(module) == content:
            gone = weakref.ref(module, lambda ref: self._forget(key, ref))
            self._entries[key] = _Entry(gone, form, content, value)
        return value

    def _forget(self, key: int, ref: weakref.ref[nn.Module]) -> None:
        entry = self._entries.get(key)
        if entry is not None and entry.module is ref:
            del self._entries[key]
