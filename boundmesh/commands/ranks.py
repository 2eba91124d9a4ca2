"""Starts the ranks of a mesh, unless torchrun has started them."""

from __future__ import annotations

import os
import runpy

import typer

from boundmesh.errors import BoundmeshError
from boundmesh.mesh_shape import MeshShape
from boundmesh.runtime.rank import check_ranks, inside

# Each rank is a process that imports torch. More of them exhaust a machine.
MOST_PER_CORE = 16


def run_command() -> None:
    """Run the command that this process was started with, as `python -m boundmesh` does."""
    runpy.run_module("boundmesh", run_name="__main__")


def start_ranks(shape: MeshShape) -> None:
    """Become the launcher where the mesh has several ranks and this process is none of them.

    Every rank then runs the same command. This process exits with the first rank's exit code.
    Raises BoundmeshError where a launcher has started another number of ranks.
    """
    check_ranks(shape.size)
    if shape.size > 1 and not inside():
        cores = os.cpu_count() or 1
        if shape.size > MOST_PER_CORE * cores:
            raise BoundmeshError(
                f"--mesh {shape} asks for {shape.size} ranks on this host, which has {cores} "
                f"cores; expected at most {MOST_PER_CORE} ranks for each"
            )
        from boundmesh.mesh.runtime import launch

        raise typer.Exit(launch.run(shape.size, run_command))
