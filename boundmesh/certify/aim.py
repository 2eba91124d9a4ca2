"""Reads what a run of `certify` is to find: which radius, how exactly, and in which time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from boundmesh.certify.run import Radius
from boundmesh.errors import BoundmeshError
from boundmesh.ranges import SECONDS, Number
from boundmesh.rational import radius_of
from boundmesh.settings import MOST_THREADS, Settings

JOBS = Number(True, 1, MOST_THREADS)
TOLERANCE = 256
"""Without a tolerance, the radius is divided by this number."""


@dataclass(frozen=True)
class Aim:
    """The goal of a run of `certify`.

    radius     the largest change of an input
    largest    True if the largest certified radius of each input is wanted
    tolerance  how near that radius must come to the smallest one that is refuted
    limit      the most seconds that the search of one input may take; ∞ without a limit
    jobs       how many processes search at the same time
    labelled   True if the user gave labels, and False if the network's predictions are kept
    """

    radius: Radius
    largest: bool
    tolerance: Radius
    limit: float
    jobs: int
    labelled: bool

    @staticmethod
    def of(
        eps: Any,
        tolerance: Any,
        timeout_per_input: float | None,
        jobs: int,
        settings: Settings,
        *,
        largest: bool,
        labelled: bool,
    ) -> Aim:
        """Read the arguments of `certify`; raise BoundmeshError for those that cannot be used."""
        refuse_domains(settings)
        radius = radius_of(eps)
        within = radius / TOLERANCE if tolerance is None else radius_of(tolerance, "tolerance")
        limit = SECONDS.read("timeout_per_input", timeout_per_input) or math.inf
        jobs = JOBS.read("jobs", jobs)
        if jobs > 1 and settings.layout.shape.size > 1:
            raise BoundmeshError(
                "jobs divides searches among processes, and a mesh has its own; leave one of the "
                "two out"
            )
        return Aim(radius, largest, within, limit, jobs, labelled)

    def check_device(self, device: torch.device) -> None:
        """Raise BoundmeshError where several processes cannot share a device."""
        if self.jobs > 1 and device.type != "cpu":
            raise BoundmeshError(
                f"jobs divides searches among processes on the CPU, and the device is {device}; "
                "leave jobs out, or use device cpu"
            )


def refuse_domains(settings: Settings) -> None:
    """Raise BoundmeshError where a mesh of several groups was chosen."""
    if settings.layout.domains > 1:
        raise BoundmeshError(
            f"the mesh {settings.layout.shape} has several groups of domains, and certify bounds "
            "all inputs in one group; use shards, or run each group on a part of the inputs"
        )
