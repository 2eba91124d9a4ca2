"""The groups of options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from boundmesh.commands.options import (
    BranchingOption,
    Clip,
    Device,
    DTypeOption,
    Iterations,
    LogFile,
    Mesh,
    MethodOption,
    OffloadOption,
    Point,
    Quiet,
    Radius,
    RadiusNorm,
    RoundingOption,
    ScheduleOption,
    Seed,
    Threads,
    TileElements,
    Verbose,
)
from boundmesh.commands.output import log_of, progress_of
from boundmesh.commands.region import around, parse_clip
from boundmesh.errors import BoundmeshError
from boundmesh.report.console import ConsoleProgress
from boundmesh.report.log import Log
from boundmesh.settings import BoundSettings, BranchSettings, Layout, Settings

if TYPE_CHECKING:
    from boundmesh.property import Ball, Box


@dataclass(frozen=True, kw_only=True)
class RowOptions:
    """How rows are bounded."""

    iterations: Iterations = BoundSettings.iterations
    tile_elements: TileElements = BoundSettings.tile_elements
    dtype: DTypeOption = Settings.dtype
    rounding: RoundingOption = Settings.rounding


@dataclass(frozen=True, kw_only=True)
class TravelOptions:
    """Options about what is sent between devices, and between a device and the host."""

    schedule: ScheduleOption = Layout.schedule
    offload: OffloadOption = Layout.offload


@dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """Where a command computes."""

    device: Device = Settings.device
    mesh: Mesh = ""
    travel: TravelOptions
    threads: Threads = Settings.threads

    @property
    def layout(self) -> Layout:
        """The layout; BoundmeshError for a mesh of another form."""
        return Layout.of(self.mesh, self.travel.schedule, self.travel.offload)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How properties are decided: the options of `verify`, `certify` and `bench`."""

    method: MethodOption = BoundSettings.method
    branching: BranchingOption = BranchSettings.branching
    rows: RowOptions
    devices: DeviceOptions
    seed: Seed = Settings.seed

    def settings(self, timeout: float | None) -> Settings:
        """Make the settings of a run; BoundmeshError for an option out of range."""
        rows = self.rows
        return Settings(
            timeout=timeout,
            device=self.devices.device,
            dtype=rows.dtype,
            rounding=rows.rounding,
            seed=self.seed,
            threads=self.devices.threads,
            bounds=BoundSettings(self.method, rows.iterations, tile_elements=rows.tile_elements),
            branch=BranchSettings(self.branching),
            layout=self.devices.layout,
        )


@dataclass(frozen=True, kw_only=True)
class PointOptions:
    """A point and the inputs near it, in place of the inputs of a property."""

    input: Point = None
    eps: Radius = None
    clip: Clip = None
    norm: RadiusNorm = float("inf")

    def region(self, spec: str | None) -> Box | Ball | None:
        """Return the box or ball around the point, or None where no point is given.

        Raises BoundmeshError where the options contradict each other or a property is given too.
        """
        if self.input is not None:
            return around(self.input, self.eps, parse_clip(self.clip), self.norm, spec)
        for option, value in {"--eps": self.eps, "--clip": self.clip}.items():
            if value is not None:
                raise BoundmeshError(f"{option} needs --input FILE.npy, the point that it is about")
        return None


@dataclass(frozen=True, kw_only=True)
class ConsoleOptions:
    """Options about what a command writes to standard error and to a log."""

    quiet: Quiet = False
    verbose: Verbose = False
    log: LogFile = None

    def progress(self, context: typer.Context) -> ConsoleProgress:
        """Return the progress of a command, as `output.progress_of` does."""
        return progress_of(context, self.quiet, self.verbose, self.log)

    def open_log(self) -> Log | None:
        """Return the log, as `output.log_of` does."""
        return log_of(self.quiet, self.verbose, self.log)
