"""The public functions, with options by name: verify, bounds, certify, jacobian and so on."""

from boundmesh.api.bounding import bounds
from boundmesh.api.certifying import certify
from boundmesh.api.deciding import verify
from boundmesh.api.planning import plan
from boundmesh.api.reading import from_torch, load
from boundmesh.jacobian.bounds import jacobian
from boundmesh.jacobian.lipschitz import lipschitz

__all__ = ["bounds", "certify", "from_torch", "jacobian", "lipschitz", "load", "plan", "verify"]
