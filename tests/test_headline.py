"""The figures on README's first screen are those of the tables that they come from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def row_of(page: str, *words: str) -> str:
    """The one line of a table that contains all the words."""
    (found,) = (
        line
        for line in text_of(page).splitlines()
        if line.startswith("|") and all(word in line for word in words)
    )
    return found


def gibibytes(cell: str) -> float:
    """The first size in a text, in GiB."""
    found = re.search(r"(\d[\d ]*(?:\.\d+)?) (MiB|GiB)", cell)
    assert found is not None, cell
    size = float(found[1].replace(" ", ""))
    return size / 1024 if found[2] == "MiB" else size


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.parametrize(
    ("start", "column"), [("α-CROWN on a ResNet", 5), ("CROWN on the same", 3)]
)
def test_the_memory_of_the_resnet_is_the_measured_one(start: str, column: int) -> None:
    headline = gibibytes(cells(row_of("README.md", f"| {start}"))[2])
    measured = gibibytes(cells(row_of("docs/measurements.md", "| large |", "172 032"))[column])
    assert headline == pytest.approx(measured, abs=0.005)


def test_the_memory_of_auto_lirpa_is_the_measured_one() -> None:
    headline = gibibytes(cells(row_of("README.md", "| CROWN on the same"))[1])
    measured = gibibytes(cells(row_of("docs/comparison.md", "| large ResNet"))[2])
    assert headline == round(measured)
    assert "140 GiB" in row_of("README.md", "| α-CROWN on a ResNet")
    assert "140 GiB" in row_of("docs/comparison.md", "α-CROWN, 10 iterations", "more than")


def test_the_time_of_the_resnet_18_is_the_measured_one() -> None:
    (seconds,) = re.findall(r"\*\*(\d+) s", row_of("README.md", "ResNet-18"))
    _, _, after = text_of("docs/measurements.md").partition("\nResNet-18 (3×224×224")
    paragraph = after.split("\n\n")[0]
    assert f"CROWN takes {seconds} s" in paragraph
    measured = re.search(r"\d+ MiB", paragraph)
    assert measured is not None
    headline = gibibytes(row_of("README.md", "ResNet-18"))
    assert headline == pytest.approx(gibibytes(measured[0]), abs=0.05)


def test_the_share_of_two_gpus_is_the_measured_one() -> None:
    headline = row_of("README.md", "one proof on two GPUs")
    row = row_of("docs/measurements.md", "| 4096×4, α-CROWN, 20 iterations |")
    one, two = (gibibytes(cells(row)[place]) for place in (2, 3))
    (share,) = re.findall(r"\*\*(\d+) %\*\* of one GPU's memory", headline)
    assert int(share) == round(100 * two / one)
    (times,) = re.findall(r"(\d+ to \d+ %) of its time", headline)
    assert times in row_of("docs/measurements.md", "on two GPUs by one")
    assert cells(row)[-1] == "equal" and "the same bits" in headline


def test_the_front_page_of_the_site_states_the_measured_memory() -> None:
    row = row_of("docs/measurements.md", "| 4096×4, α-CROWN, 20 iterations |")
    front = row_of("docs/index.md", "**Memory**")
    for cell in cells(row)[1:3]:
        assert f"{round(gibibytes(cell) * 1024)} MiB" in front
