"""The bound methods by name, from cheap to tight."""

from __future__ import annotations

from boundmesh.bounds.methods.alpha import ALPHA_CROWN
from boundmesh.bounds.methods.crown import CROWN
from boundmesh.bounds.methods.crown_ibp import CROWN_IBP
from boundmesh.bounds.methods.ibp import IBP
from boundmesh.bounds.methods.method import BoundMethod
from boundmesh.register import Register
from boundmesh.settings import METHOD_NAMES

METHODS: Register[BoundMethod] = Register("a bound method", METHOD_NAMES, reserved=["auto"])
register, remove = METHODS.register, METHODS.remove

for _method in (IBP, CROWN_IBP, CROWN, ALPHA_CROWN):
    register(_method)
