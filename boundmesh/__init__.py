"""boundmesh proves properties of neural networks by bound propagation.

    >>> import boundmesh
    >>> result = boundmesh.verify("network.onnx", "property.vnnlib", timeout=60)
    >>> result.verdict.word
    'unsat'

Public names are imported on first use, so that `import boundmesh` does not wait for torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from boundmesh.api import (
        bounds,
        certify,
        from_torch,
        jacobian,
        lipschitz,
        load,
        plan,
        verify,
    )
    from boundmesh.certify.result import Certification, Certified
    from boundmesh.errors import BoundmeshError
    from boundmesh.graph.graph import Graph
    from boundmesh.jacobian.bounds import JacobianBounds
    from boundmesh.jacobian.lipschitz import Lipschitz
    from boundmesh.plan.plan import Plan
    from boundmesh.proof.output_bounds import Bounds
    from boundmesh.property import Atom, Ball, Box, Case, Choice, Clause, Property
    from boundmesh.report.page.write import report
    from boundmesh.result import Result
    from boundmesh.settings import Layout, Settings
    from boundmesh.training.bounds import DifferentiableBounds
    from boundmesh.verdict import Counterexample, Falsified, TimedOut, Unknown, Verified

_HOMES = {
    "api": (
        "bounds",
        "certify",
        "from_torch",
        "jacobian",
        "lipschitz",
        "load",
        "plan",
        "verify",
    ),
    "certify.result": ("Certification", "Certified"),
    "errors": ("BoundmeshError",),
    "graph.graph": ("Graph",),
    "jacobian.bounds": ("JacobianBounds",),
    "jacobian.lipschitz": ("Lipschitz",),
    "plan.plan": ("Plan",),
    "proof.output_bounds": ("Bounds",),
    "property": ("Atom", "Ball", "Box", "Case", "Choice", "Clause", "Property"),
    "report.page.write": ("report",),
    "result": ("Result",),
    "settings": ("Layout", "Settings"),
    "training.bounds": ("DifferentiableBounds",),
    "verdict": ("Counterexample", "Falsified", "TimedOut", "Unknown", "Verified"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Atom",
    "Ball",
    "BoundmeshError",
    "Bounds",
    "Box",
    "Case",
    "Certification",
    "Certified",
    "Choice",
    "Clause",
    "Counterexample",
    "DifferentiableBounds",
    "Falsified",
    "Graph",
    "JacobianBounds",
    "Layout",
    "Lipschitz",
    "Plan",
    "Property",
    "Result",
    "Settings",
    "TimedOut",
    "Unknown",
    "Verified",
    "bounds",
    "certify",
    "from_torch",
    "jacobian",
    "lipschitz",
    "load",
    "plan",
    "report",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'boundmesh' has no attribute '{name}'")
    return getattr(import_module(f"boundmesh.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Package(ModuleType):
    """Keeps `boundmesh.verify` and `boundmesh.bounds` the functions: importing the rooms of the
    same names would otherwise put the modules in their place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
