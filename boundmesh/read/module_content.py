"""Describes everything that a PyTorch module's result can depend on, to find whether it changed.

A content is compared with an earlier one by `==`. It holds the numbers of all parameters, buffers
and other tensors as digests, all attributes of all submodules by value, and the code of methods
that the forward pass can reach, with the globals that they read. A module that depends on anything
else, such as an object of the user's own, has no content. That torch and NumPy themselves are
replaced in parts is not noticed.
"""

from __future__ import annotations

import builtins
import functools
import types
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from boundmesh.read.code_names import (
    OPAQUE,
    NoContentError,
    globals_read,
    is_fixed,
    names_read,
)

Content = tuple[Any, ...]

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), slice, range, torch.dtype,
         torch.device, torch.layout, torch.memory_format, np.generic)  # fmt: skip
# Attributes of a class that no result depends on.
ASIDE = frozenset(("__module__", "__doc__", "__dict__", "__weakref__", "__annotations__",
                   "__qualname__", "__static_attributes__", "__firstlineno__", "__parameters__",
                   "__orig_bases__", "__annotate__", "__annotate_func__", "__abstractmethods__",
                   "__annotations_cache__", "__constants__", "_abc_impl"))  # fmt: skip
# Methods that run although no code names them; so do those with two underscores in front.
CALLED = frozenset(("forward", "_call_impl", "eval", "train"))
# Methods that only describe a module or make it.
UNUSED = frozenset(("__init__", "__new__", "__repr__", "__str__", "extra_repr", "__del__"))


class Same:
    """Wraps an object, and equals only wrappers of the same object. It keeps the object alive."""

    def __init__(self, wrapped: object) -> None:
        self.wrapped = wrapped

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.wrapped is other.wrapped

    def __hash__(self) -> int:
        return id(self.wrapped)


def content_of(module: nn.Module) -> Content | None:
    """Return the content of a module, or None where it cannot be known in full."""
    if torch.is_autocast_enabled() or _hooked_everywhere():
        return None
    names: set[str] = set(CALLED)
    try:
        while True:
            walk = _Walk(frozenset(names))
            content = (torch.get_default_dtype(), walk.value(module))
            if walk.named <= names:
                return content
            names |= walk.named
    except (NoContentError, RecursionError):
        return None


class _Walk:
    """Walks from a module to all that it depends on, and walks nothing twice.

    Of the methods of classes it walks those in `names`. `named` collects the names that all code on
    the way reads, since that code may call further methods.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self._names, self.named = names, set[str]()
        self._met: dict[int, int] = {}
        self._kept: list[object] = []

    def value(self, value: Any) -> Content:
        """Return the content of any value; raises NoContentError where there is none."""
        if isinstance(value, PLAIN) and is_fixed(type(value).__module__):
            return type(value), repr(value)
        if id(value) in self._met:
            return "met", self._met[id(value)]
        self._met[id(value)] = len(self._met)
        self._kept.append(value)
        for kind, walk in self._walks():
            # A class of the user's own may hold more than the kind that it extends.
            if isinstance(value, kind) and (kind is nn.Module or is_fixed(type(value).__module__)):
                return type(value), *walk(value)
        raise NoContentError(type(value).__name__)

    def _walks(self) -> Iterator[tuple[Any, Callable[[Any], Content]]]:
        yield nn.Module, self._module
        yield Tensor, _tensor
        yield np.ndarray, _array
        yield (tuple, list), self._sequence
        yield (set, frozenset), lambda value: tuple(sorted(map(repr, map(self.value, value))))
        yield dict, self._mapping
        yield types.FunctionType, self._function
        yield (type, types.ModuleType, types.BuiltinFunctionType), self._fixed
        yield functools.partial, self._partial

    def _sequence(self, values: Any) -> Content:
        return tuple(map(self.value, values))

    def _partial(self, call: functools.partial[Any]) -> Content:
        return self._sequence((call.func, call.args, call.keywords))

    def _mapping(self, mapping: Mapping[Any, Any]) -> Content:
        return tuple((self.value(key), self.value(value)) for key, value in mapping.items())

    def _fixed(self, value: Any) -> Content:
        """Return the identity of what does not change: a part of torch, NumPy or Python itself."""
        is_module = isinstance(value, types.ModuleType)
        home = value.__name__ if is_module else (value.__module__ or "builtins")
        if not is_fixed(home):
            if isinstance(value, type) and issubclass(value, nn.Module):
                return Same(value), *self._class(value)
            raise NoContentError(str(home))
        return (Same(value),)

    def _module(self, module: nn.Module) -> Content:
        kind = type(module)
        attributes = []
        for name, value in vars(module).items():
            if name.endswith("_hooks") and value:
                raise NoContentError(name)
            if callable(value) and not isinstance(value, nn.Module | type) and _closed(value):
                # It may hold the module itself, which would then never be freed.
                raise NoContentError(name)
            attributes.append((name, self.value(value)))
        return Same(kind), self._class(kind), tuple(attributes)

    def _class(self, kind: type) -> Content:
        """Return the methods of a class that its forward pass can reach, and its plain values."""
        content: list[Content] = []
        for base in kind.__mro__:
            if is_fixed(base.__module__):
                content.append((Same(base), Same(base.__dict__.get("forward"))))
                continue
            for name, attribute in vars(base).items():
                method = isinstance(attribute, types.FunctionType)
                if name in ASIDE | UNUSED or (method and not self._may_run(name)):
                    continue
                content.append((name, self.value(_bare(attribute))))
        return tuple(content)

    def _may_run(self, name: str) -> bool:
        """Return True for a method that some code names, or may name by `getattr`."""
        return name in self._names or name.startswith("__") or "getattr" in self._names

    def _function(self, function: types.FunctionType) -> Content:
        if is_fixed(str(function.__globals__.get("__name__"))):
            return (Same(function),)
        cells = function.__closure__ or ()
        contents = [cell.cell_contents for cell in cells]
        closure = [Same(part) if isinstance(part, type) else self.value(part) for part in contents]
        names = names_read(function.__code__)
        if names & OPAQUE:
            raise NoContentError(f"{function.__qualname__} reads {names & OPAQUE}")
        self.named |= names
        scope = function.__globals__
        globals_seen = [
            (name, self.value(scope[name]))
            for name in sorted(globals_read(function.__code__))
            if name in scope and name not in vars(builtins)
        ]
        defaults = self.value(function.__defaults__), self.value(function.__kwdefaults__)
        return Same(function.__code__), defaults, tuple(closure), tuple(globals_seen)


def _closed(function: Any) -> bool:
    """Return True for a function that is bound to an object or has a closure."""
    if isinstance(function, types.FunctionType):
        return bool(function.__closure__)
    return not isinstance(function, types.BuiltinFunctionType | functools.partial)


def _bare(attribute: Any) -> Any:
    """Return the functions of a static method, class method or property."""
    if isinstance(attribute, staticmethod | classmethod):
        return attribute.__func__
    if isinstance(attribute, property):
        return attribute.fget, attribute.fset, attribute.fdel
    return attribute


def _tensor(tensor: Tensor) -> Content:
    if type(tensor) not in (Tensor, nn.Parameter, nn.Buffer) or tensor.layout != torch.strided:
        raise NoContentError(type(tensor).__name__)
    facts = tuple(tensor.shape), tensor.dtype, tensor.device, tensor.requires_grad
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return *facts, _digest(flat.view(torch.uint8).numpy())


def _array(array: np.ndarray) -> Content:
    if array.dtype.hasobject:
        raise NoContentError("an array of objects")
    return array.shape, array.dtype, _digest(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def _digest(numbers: np.ndarray) -> bytes:
    return blake2b(numbers.data, digest_size=32).digest()


def _hooked_everywhere() -> bool:
    """Return True if there are hooks that run in all modules."""
    module = nn.modules.module
    kinds = ("forward_hooks", "forward_pre_hooks")
    return any(bool(vars(module).get(f"_global_{kind}")) for kind in kinds)
