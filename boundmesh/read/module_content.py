"""Describes everything that a PyTorch module's result can depend on, to find whether it changed.

A content is compared with an earlier one by `==`. It holds the numbers of all parameters, buffers
and other tensors as digests, all attributes of all submodules by value, and the code of methods
that the forward pass can reach, with the globals that they read. A module that depends on anything
else, such as an object of the user's own, has no content. That torch and NumPy themselves are
replaced in parts is not noticed.
"""

from __future__ import annotations

import builtins
import dis
import functools
import types
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Content = tuple[Any, ...]

# Packages whose modules, functions and classes stay as they are.
FIXED = frozenset(("torch", "math", "numpy", "functools", "operator", "itertools", "typing",
                   "collections", "builtins", "abc", "torchvision", "einops", "_operator",
                   "_functools"))  # fmt: skip
PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), slice, range, torch.dtype,
         torch.device, torch.layout, torch.memory_format, np.generic)  # fmt: skip
# What code that uses one of these names reads cannot be found.
OPAQUE = frozenset(("eval", "exec", "globals", "locals", "vars", "__import__", "__dict__"))
# Attributes of a class that no result depends on.
ASIDE = frozenset(("__module__", "__doc__", "__dict__", "__weakref__", "__annotations__",
                   "__qualname__", "__static_attributes__", "__firstlineno__", "__parameters__",
                   "__orig_bases__", "__annotate__", "__annotate_func__", "__abstractmethods__",
                   "__annotations_cache__", "__constants__", "_abc_impl"))  # fmt: skip
# Methods that run although no code names them; so do those with two underscores in front.
CALLED = frozenset(("forward", "_call_impl", "eval", "train"))
# Methods that only describe a module or make it.
UNUSED = frozenset(("__init__", "__new__", "__repr__", "__str__", "extra_repr", "__del__"))


class NoContentError(Exception):
    """A module depends on something whose changes cannot be seen."""


class Same:
    """An object that equals itself alone. It keeps the object alive."""

    def __init__(self, it: object) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.it is other.it

    def __hash__(self) -> int:
        return id(self.it)


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
    """Walks from a module to all that it depends on; what is met again is not walked again.

    Of the methods of classes it walks those in `names`. `named` collects the names in all code that
    it met, which may call further methods.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self._names, self.named = names, set[str]()
        self._met: dict[int, int] = {}
        self._kept: list[object] = []

    def value(self, it: Any) -> Content:
        """Return the content of any value; raises NoContentError where there is none."""
        if isinstance(it, PLAIN) and _is_fixed(type(it).__module__):
            return type(it), repr(it)
        if id(it) in self._met:
            return "met", self._met[id(it)]
        self._met[id(it)] = len(self._met)
        self._kept.append(it)
        for kind, walk in self._walks():
            # A class of the user's own may hold more than the kind that it extends.
            if isinstance(it, kind) and (kind is nn.Module or _is_fixed(type(it).__module__)):
                return type(it), *walk(it)
        raise NoContentError(type(it).__name__)

    def _walks(self) -> Iterator[tuple[Any, Callable[[Any], Content]]]:
        yield nn.Module, self._module
        yield Tensor, _tensor
        yield np.ndarray, _array
        yield (tuple, list), self._sequence
        yield (set, frozenset), lambda it: tuple(sorted(map(repr, map(self.value, it))))
        yield dict, self._mapping
        yield types.FunctionType, self._function
        yield (type, types.ModuleType, types.BuiltinFunctionType), self._fixed
        yield functools.partial, lambda it: self._sequence((it.func, it.args, it.keywords))

    def _sequence(self, it: Any) -> Content:
        return tuple(map(self.value, it))

    def _mapping(self, it: Mapping[Any, Any]) -> Content:
        return tuple((self.value(key), self.value(part)) for key, part in it.items())

    def _fixed(self, it: Any) -> Content:
        """Return the identity of what does not change: a part of torch, NumPy or Python itself."""
        home = it.__name__ if isinstance(it, types.ModuleType) else (it.__module__ or "builtins")
        if not _is_fixed(home):
            if isinstance(it, type) and issubclass(it, nn.Module):
                return Same(it), *self._class(it)
            raise NoContentError(str(home))
        return (Same(it),)

    def _module(self, module: nn.Module) -> Content:
        kind = type(module)
        attributes = []
        for name, part in vars(module).items():
            if name.endswith("_hooks") and part:
                raise NoContentError(name)
            if callable(part) and not isinstance(part, nn.Module | type) and _closed(part):
                # It may hold the module itself, which would then never be freed.
                raise NoContentError(name)
            attributes.append((name, self.value(part)))
        return Same(kind), self._class(kind), tuple(attributes)

    def _class(self, kind: type) -> Content:
        """Return the methods of a class that its forward pass can reach, and its plain values."""
        found: list[Content] = []
        for part in kind.__mro__:
            if _is_fixed(part.__module__):
                found.append((Same(part), Same(part.__dict__.get("forward"))))
                continue
            for name, attribute in vars(part).items():
                method = isinstance(attribute, types.FunctionType)
                if name in ASIDE | UNUSED or (method and not self._may_run(name)):
                    continue
                found.append((name, self.value(_bare(attribute))))
        return tuple(found)

    def _may_run(self, name: str) -> bool:
        """Return True for a method that some code names, or may name by `getattr`."""
        return name in self._names or name.startswith("__") or "getattr" in self._names

    def _function(self, function: types.FunctionType) -> Content:
        if _is_fixed(str(function.__globals__.get("__name__"))):
            return (Same(function),)
        cells = function.__closure__ or ()
        inside = [cell.cell_contents for cell in cells]
        closed = [Same(part) if isinstance(part, type) else self.value(part) for part in inside]
        names = _names(function.__code__)
        if names & OPAQUE:
            raise NoContentError(f"{function.__qualname__} reads {names & OPAQUE}")
        self.named |= names
        scope = function.__globals__
        read = [
            (name, self.value(scope[name]))
            for name in sorted(_globals(function.__code__))
            if name in scope and name not in vars(builtins)
        ]
        own = self.value(function.__defaults__), self.value(function.__kwdefaults__)
        return Same(function.__code__), own, tuple(closed), tuple(read)


def _is_fixed(home: str) -> bool:
    """Return True for the name of a Python module whose contents stay as they are."""
    return home.split(".")[0] in FIXED


def _closed(it: Any) -> bool:
    """Return True for a function that is bound to an object or has a closure."""
    if isinstance(it, types.FunctionType):
        return bool(it.__closure__)
    return not isinstance(it, types.BuiltinFunctionType | functools.partial)


def _bare(attribute: Any) -> Any:
    """Return the functions of a static method, class method or property."""
    if isinstance(attribute, staticmethod | classmethod):
        return attribute.__func__
    if isinstance(attribute, property):
        return attribute.fget, attribute.fset, attribute.fdel
    return attribute


def _names(code: types.CodeType) -> set[str]:
    """Return the names that code reads, also in the functions inside of it.

    Raises NoContentError where it imports a package that may change.
    """
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME" and str(step.argval).split(".")[0] not in FIXED:
            raise NoContentError(f"import {step.argval}")
    found = {*code.co_names}
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            found |= _names(part)
    return found


def _globals(code: types.CodeType) -> set[str]:
    """Return the names of globals that code reads, also in the functions inside of it."""
    found = {
        str(step.argval)
        for step in dis.get_instructions(code)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            found |= _globals(part)
    return found


def _tensor(it: Tensor) -> Content:
    if type(it) not in (Tensor, nn.Parameter, nn.Buffer) or it.layout != torch.strided:
        raise NoContentError(type(it).__name__)
    facts = tuple(it.shape), it.dtype, it.device, it.requires_grad
    flat = it.detach().cpu().contiguous().reshape(-1)
    return *facts, _digest(flat.view(torch.uint8).numpy())


def _array(it: np.ndarray) -> Content:
    if it.dtype.hasobject:
        raise NoContentError("an array of objects")
    return it.shape, it.dtype, _digest(np.ascontiguousarray(it).reshape(-1).view(np.uint8))


def _digest(numbers: np.ndarray) -> bytes:
    return blake2b(numbers.data, digest_size=32).digest()


def _hooked_everywhere() -> bool:
    """Return True if there are hooks that run in all modules."""
    module = nn.modules.module
    kinds = ("forward_hooks", "forward_pre_hooks")
    return any(bool(vars(module).get(f"_global_{kind}")) for kind in kinds)
