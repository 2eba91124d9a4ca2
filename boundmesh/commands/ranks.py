"""The ranks of a mesh: started by the command itself, or by torchrun."""

from __future__ import annotations

import typer

from boundmesh.mesh.rank import inside
from boundmesh.shape import MeshShape


def start_ranks(shape: MeshShape) -> None:
    """Become the launcher where the mesh has several ranks and this process is none of them.

    The same command then runs as every rank; this process exits as the first rank does.
    """
    if shape.size > 1 and not inside():
        from boundmesh.cli import main
        from boundmesh.mesh import launch

        raise typer.Exit(launch.run(shape.size, main))
