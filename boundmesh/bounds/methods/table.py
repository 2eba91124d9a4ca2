"""The bound methods by name, from cheap to tight."""

from __future__ import annotations

from boundmesh.bounds.methods.alpha import ALPHA_CROWN
from boundmesh.bounds.methods.crown import CROWN
from boundmesh.bounds.methods.crown_ibp import CROWN_IBP
from boundmesh.bounds.methods.ibp import IBP
from boundmesh.bounds.methods.method import BoundMethod
from boundmesh.settings import METHOD_NAMES

METHODS: dict[str, BoundMethod] = {}


def register(method: BoundMethod) -> BoundMethod:
    """Enter a method into `METHODS`, and its name into those that settings accept.

    Raises ValueError where the name is taken.
    """
    if method.name in METHODS or method.name == "auto":
        raise ValueError(f"the name '{method.name}' of a bound method is taken; choose another")
    METHODS[method.name] = method
    if method.name not in METHOD_NAMES:
        METHOD_NAMES.append(method.name)
    return method


def remove(method: BoundMethod) -> None:
    """Take a method out of `METHODS`, and its name out of those that settings accept."""
    del METHODS[method.name]
    METHOD_NAMES.remove(method.name)


for _method in (IBP, CROWN_IBP, CROWN, ALPHA_CROWN):
    register(_method)
