"""Keeps the ranks of a mesh in step, from instance to instance of a list."""

from __future__ import annotations

from typing import TypeVar

from boundmesh.errors import DeviceError
from boundmesh.mesh.runtime.open import mesh_for
from boundmesh.settings import Settings

Value = TypeVar("Value")


class MeshRun:
    """Makes all ranks follow the first one. A single process is its own first rank."""

    def __init__(self, settings: Settings) -> None:
        self._mesh = mesh_for(settings)

    def agree(self, topic: str, value: Value) -> Value:
        """Return the first rank's value.

        Raises DeviceError where the first rank is at another topic, which happens when one rank has
        failed and the others have not.
        """
        if self._mesh is None:
            return value
        heard: object = self._mesh.broadcast_object((topic, value))
        if not isinstance(heard, tuple) or heard[0] != topic:
            raise DeviceError(f"the ranks are out of step at '{topic}': one of them has failed")
        said: Value = heard[1]
        return said
