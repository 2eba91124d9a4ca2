"""Reads the inputs of `boundmesh certify`, and writes the files that its options name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from boundmesh.commands.files import check_results
from boundmesh.settings import Settings

if TYPE_CHECKING:
    from boundmesh.certify.result import Certification
    from boundmesh.graph.graph import Graph
    from boundmesh.read.arrays import Dataset


def read_inputs(inputs: Path, labels: Path | None, first: int | None, graph: Graph) -> Dataset:
    """Read the first inputs with their labels, which `labels` holds if it is a file."""
    # Imported here, since it brings torch.
    from boundmesh.read.arrays import read_dataset, read_labels

    data = read_dataset(inputs, graph.inputs[0].shape).first(first)
    return data if labels is None else replace(data, labels=read_labels(labels)[:first])


@dataclass(frozen=True)
class CertificationFiles:
    """The files to write; a file that no option names is None.

    csv     a line for each input
    json    the result as JSON
    npz     verdicts, margins, radii and counterexamples as arrays
    report  the page for people
    """

    csv: Path | None
    json: Path | None
    npz: Path | None
    report: Path | None

    def check(self, *inputs: Path | None) -> None:
        """Raise BoundmeshError for a file that cannot be written, or would replace an input."""
        named_by = {
            "--csv": self.csv,
            "--json": self.json,
            "--npz": self.npz,
            "--report": self.report,
        }
        check_results(named_by, *inputs)

    def write(
        self,
        result: Certification,
        settings: Settings,
        model: Path,
        inputs: Path,
        names: Sequence[str],
    ) -> None:
        """Write the files; `names` are those of the inputs."""
        # Imported here, since it brings torch.
        from boundmesh.report import certification, results

        if self.csv is not None:
            certification.write_csv(self.csv, result, names)
        if self.json is not None:
            content = certification.content(result, settings, str(model), str(inputs), names)
            results.write_json(self.json, content)
        if self.npz is not None:
            certification.write_npz(self.npz, result)
        if self.report is not None:
            from boundmesh.report.page import write
            from boundmesh.report.page.circumstances import origin_here

            write.report(result, self.report, origin_here(str(model), str(inputs)))
