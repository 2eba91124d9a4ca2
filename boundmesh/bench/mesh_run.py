"""The ranks of a mesh that run a list together, in step from instance to instance."""

from __future__ import annotations

from typing import TypeVar

from boundmesh.errors import DeviceError
from boundmesh.mesh.runtime.open import mesh_for
from boundmesh.settings import Settings

Value = TypeVar("Value")


class MeshRun:
    """All ranks do what the first one does; one process is its own first rank."""

    def __init__(self, settings: Settings) -> None:
        self._mesh = mesh_for(settings)

    def agree(self, topic: str, value: Value) -> Value:
        """The first rank's value; DeviceError where another rank speaks of another topic, as one
        does that has failed where the others have not."""
        if self._mesh is None:
            return value
        heard: object = self._mesh.first_says((topic, value))
        if not isinstance(heard, tuple) or heard[0] != topic:
            raise DeviceError(f"the ranks are out of step at '{topic}': one of them has failed")
        said: Value = heard[1]
        return said
