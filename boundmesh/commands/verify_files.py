"""Writes the files that the options of `boundmesh verify` name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from boundmesh.commands.files import check_results
from boundmesh.settings import Settings

if TYPE_CHECKING:
    from boundmesh.result import Result


@dataclass(frozen=True)
class ResultFiles:
    """The files to write; a file that no option names is None.

    text    VNN-COMP's result text
    json    the result as JSON
    report  the page for people
    """

    text: Path | None
    json: Path | None
    report: Path | None

    def check(self, *inputs: Path | None) -> None:
        """Raise BoundmeshError for a file that cannot be written, or would replace an input."""
        named_by = {"--result-file": self.text, "--json": self.json, "--report": self.report}
        check_results(named_by, *inputs)

    def write(
        self,
        result: Result,
        settings: Settings,
        property: str | None,
        source: str,
        networks: str,
        seconds: float,
    ) -> None:
        """Write the files.

        property  the file of the property; None for a neighbourhood of an input
        source    the file of the property, or of the input
        networks  the files of the networks, as text
        seconds   the seconds of the whole command
        """
        # Imported here, since it brings torch.
        from boundmesh.report import results

        if self.text is not None:
            results.write(self.text, results.competition_text(result.verdict, result.property))
        if self.json is not None:
            content = results.verdict_json(result, settings, property, networks, seconds)
            results.write_json(self.json, content)
        if self.report is not None:
            from boundmesh.report.page import write
            from boundmesh.report.page.circumstances import origin_here

            write.report(result, self.report, origin_here(networks, source))


def named(networks: Mapping[str | None, Path]) -> str:
    """Return the networks as text: the file of one without a name, else `f=a.onnx g=b.onnx`."""
    return " ".join(str(f) if name is None else f"{name}={f}" for name, f in networks.items())
