"""Pages say what the results hold, need nothing else, and escape every text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import boundmesh
from boundmesh.certify.result import Certification
from boundmesh.errors import BoundmeshError
from boundmesh.property import Variable
from boundmesh.report.facts import of_margin
from boundmesh.report.page.certify_charts import radius_chart
from boundmesh.report.page.circumstances import Origin
from boundmesh.report.page.write import report, report_bench
from boundmesh.report.records import Record
from boundmesh.report.summary import summarize
from boundmesh.result import Result
from boundmesh.settings import Settings
from boundmesh.verdict import Falsified, Unknown
from tests.report.page.reading import Page

HOSTILE = (
    "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}{% raw %}&amp;</style>"
)
NAMES = ("image-unsat", "image-sat", "image-unknown", "table-sat", "table-unsat", "table-split",
         "timed-out", "empty")  # fmt: skip


def record(**changed: object) -> Record:
    usual = Record(
        "fam", "net.onnx", "prop.vnnlib", 10.0, "", "unsat", 1.5, "crown", 0.25, 300.0, "cpu", ""
    )
    return replace(usual, **changed)


RECORDS = [
    record(),
    record(vnnlib="b.vnnlib", verdict="sat", seconds=0.02, stage="attack", bound=None),
    record(vnnlib="c.vnnlib", verdict="unknown", bound=-0.5, reason="too wide"),
    record(vnnlib="d.vnnlib", verdict="error", bound=None, reason="no such file"),
    record(vnnlib="e.vnnlib", verdict="unsat", expected="sat", seconds=3.0),
    record(family="other", verdict="unsat", seconds=4.0, stage="branch"),
]


def page_of(result: Result | Certification, folder: Path, origin: Origin | None = None) -> Page:
    report(result, folder / "page.html", origin)
    return Page((folder / "page.html").read_text(encoding="utf-8"))


def bench_page_of(records: list[Record], folder: Path, origin: Origin | None = None) -> Page:
    summaries = summarize([each.family for each in records], records)
    lists = [each.family for each in records[:1]]
    path = folder / "bench.html"
    report_bench(path, records, summaries, Settings(), lists, origin or Origin())
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(params=[*NAMES, "certification", "radii", "ended", "bench"])
def page(
    request: pytest.FixtureRequest,
    results: dict[str, Result],
    certification: Certification,
    radii: Certification,
    ended: Certification,
    tmp_path: Path,
) -> Page:
    if request.param == "bench":
        return bench_page_of(RECORDS, tmp_path)
    more = {"certification": certification, "radii": radii, "ended": ended}
    return page_of((results | more)[request.param], tmp_path)


def test_a_page_has_one_heading_a_language_and_sections_with_titles(page: Page) -> None:
    assert page.root.one("html").attributes["lang"] == "en"
    assert page.root.one("title").text and page.root.one("h1").text
    for section in page.root.all("section"):
        assert section.attributes["id"] and section.one("h2").text
    names = {section.attributes["id"] for section in page.root.all("section")}
    assert {"asked", "repeat"} < names


def test_a_page_needs_no_script_and_no_other_file(page: Page) -> None:
    names = {element.name for element in page.root.walk()}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for element in page.root.walk():
        for name, value in element.attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "action", "xlink:href"):
                assert value.startswith("data:image/png;base64,")
    style = page.root.one("style").text
    assert "url(" not in style and "@import" not in style
    assert not re.search(r"https?:", page.text)


def test_a_page_can_be_read_without_seeing_it(page: Page) -> None:
    for image in page.root.all("img"):
        assert image.attributes["alt"]
    for table in page.root.all("table"):
        assert table.all("th")
        assert all(head.attributes["scope"] in ("col", "row") for head in table.all("th"))
        widths = {len(row.children) for row in table.all("tr")}
        assert len(widths) == 1
    for element in page.root.walk():
        if element.attributes.get("role") == "img":
            assert len(element.attributes["aria-label"]) > 20


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_that_of_the_result(
    results: dict[str, Result], tmp_path: Path, name: str
) -> None:
    result = results[name]
    page = page_of(result, tmp_path)
    word = result.verdict.word
    assert page.root.one("header").attributes["class"] == f"verdict {word}"
    assert page.section("answer").one("code").text == word
    assert ("counterexample" in {each.attributes["id"] for each in page.root.all("section")}) == (
        word == "sat"
    )
    if isinstance(result.verdict, Unknown):
        assert result.verdict.reason in page.section("answer").text


@pytest.mark.parametrize("name", ["image-unsat", "image-unknown", "table-unsat", "table-split"])
def test_margins_are_those_of_the_result(
    results: dict[str, Result], tmp_path: Path, name: str
) -> None:
    result = results[name]
    rows = page_of(result, tmp_path).rows("margins", "The best margin")
    last = result.reached[-1].margins
    assert len(rows) == len(last) == result.margins.shape[1]
    # The last number of each row is what was reached at last; a dot stands for the one before it.
    shown = [[cell for cell in row[1:-1] if cell not in ("", "·")][-1] for row in rows]
    assert shown == [of_margin(value) for value in sorted(last.tolist())]
    assert np.array_equal(last, result.margins[0])


def test_unstable_neurons_and_seconds_are_those_of_the_result(
    results: dict[str, Result], tmp_path: Path
) -> None:
    result = results["image-unsat"]
    page = page_of(result, tmp_path)
    rows = page.rows("unstable", "Unstable neurons")
    counts = {row[0]: (int(row[-2].replace(",", "")), int(row[1].replace(",", ""))) for row in rows}
    assert counts == dict(result.unstable)
    times = [row[1] for row in page.rows("time", "Seconds of each stage")]
    assert len(times) == len(result.seconds)
    for shown, seconds in zip(times, result.seconds.values(), strict=True):
        number, unit = shown.split()
        assert math.isclose(
            float(number) / (1000 if unit == "ms" else 1), seconds, rel_tol=0.01, abs_tol=1e-4
        )


def test_a_counterexample_is_shown_with_all_its_digits(
    results: dict[str, Result], tmp_path: Path
) -> None:
    result = results["table-sat"]
    assert isinstance(result.verdict, Falsified)
    found = result.verdict.counterexample
    page = page_of(result, tmp_path)
    section = page.section("counterexample")
    values = [float(element.attributes["value"]) for element in section.all("data")]
    assert values == [*found.input.ravel().tolist(), *found.output.ravel().tolist()]
    rows = page.rows("counterexample", "The input that breaks")
    assert [row[0] for row in rows] == ["x[0]", "x[1]", "x[2]", "x[3]", "x[4]"]
    assert [(float(row[1]), float(row[3])) for row in rows][:3] == [(-1, 1), (0, 1), (0, 0.5)]
    assert rows[3][4] == "fixed"


def test_a_counterexample_that_is_an_image_is_drawn_beside_the_original(
    results: dict[str, Result], tmp_path: Path
) -> None:
    section = page_of(results["image-sat"], tmp_path).section("counterexample")
    titles = [figure.one("strong").text for figure in section.all("figure")]
    assert titles == ["The image", "The counterexample", "The difference"]
    assert len({image.attributes["src"] for image in section.all("img")}) == 3


def test_a_claim_about_classes_is_told_in_words(results: dict[str, Result], tmp_path: Path) -> None:
    heading = page_of(results["image-unsat"], tmp_path).root.one("h1").text
    assert heading == (
        "The score of class 2 (Y[0,2]) stays above all others for every input within 0.1 of this "
        "image in each pixel, with values kept between 0 and 1."
    )


def test_a_search_shows_its_domains(results: dict[str, Result], tmp_path: Path) -> None:
    result = results["table-split"]
    assert any(span.stage == "branch" for span in result.history.spans)
    page = page_of(result, tmp_path)
    assert "branch and bound" in page.section("margins").text
    assert "Open domains" in page.section("bounds").text
    visited = int(result.history.series("visited")[-1][1])
    assert f"{visited:,} were bounded" in page.section("bounds").text


def test_a_certification_counts_as_its_result_does(
    certification: Certification, tmp_path: Path
) -> None:
    page = page_of(certification, tmp_path)
    cards = {card.text.split(maxsplit=1)[1]: card.one("strong").text
             for card in page.root.one("ul", **{"class": "cards"}).children}  # fmt: skip
    for word, count in certification.counts.items():
        assert cards[word] == f"{count:,}"
    assert cards["certified accuracy"] == f"{certification.certified_accuracy:.1%}"
    lines = page.section("inputs").one("tbody").children
    shown = {int(line.children[0].text): line.children[3].text for line in lines}
    assert shown == {each.index: each.verdict for each in certification}
    assert "32/255" in page.root.one("h1").text
    assert len(page.section("counterexamples").all("img")) == 3 * min(
        6, certification.count("falsified")
    )


def test_radii_are_those_of_the_result(radii: Certification, tmp_path: Path) -> None:
    page = page_of(radii, tmp_path)
    median = float(np.quantile(radii.certified_eps, 0.5, method="lower"))
    assert f"at least {max(median, 0):.4g}" in page.section("radii").text
    for row in page.section("inputs").one("tbody").children:
        each = radii[int(row.children[0].text)]
        text = f"{each.certified_eps:.5g}" if each.certified_eps >= 0 else "none"
        assert row.children[5].text.split(" … ")[0] == text


def test_a_certification_that_ended_early_tells_so(ended: Certification, tmp_path: Path) -> None:
    page = page_of(ended, tmp_path)
    assert "The time ran out." in page.root.one("header").text
    assert page.root.one("header").attributes["class"] == "verdict mixed"


def test_a_benchmark_lists_wrong_verdicts_and_errors_as_failures(tmp_path: Path) -> None:
    page = bench_page_of(RECORDS, tmp_path)
    assert page.root.one("header").attributes["class"] == "verdict sat"
    assert "1 verdict against what was expected" in page.root.one("header").text
    first, *_ = page.section("failures").all("tbody")
    assert [row.children[2].text for row in first.children] == ["d", "e"]
    rows = page.rows("families", "Verdicts and times")
    assert [row[:4] for row in rows] == [
        ["fam", "5", "5", "2"],
        ["other", "1", "1", "1"],
        ["all families", "6", "6", "3"],
    ]
    assert len(page.section("instances").one("tbody").children) == len(RECORDS)
    names = [item.text for item in page.section("cactus").one("ul").children]
    assert names == ["fam (2)", "other (1)", "all families (3)"]


def test_a_benchmark_without_a_record_has_a_page(tmp_path: Path) -> None:
    summaries = summarize(["fam"], [])
    report_bench(tmp_path / "b.html", [], summaries, Settings(), ["list.csv"], Origin())
    page = Page((tmp_path / "b.html").read_text())
    assert "0 of 1 solved" in page.root.one("header").text


def hostile_result(result: Result) -> Result:
    """The result with a hostile text wherever a user's text can be."""
    shapes = {"input": result.property.inputs, "output": result.property.outputs}
    variables = tuple(
        Variable(HOSTILE, role, (size,), "Real", HOSTILE) for role, size in shapes.items()
    )
    steps = tuple(replace(each, unstable={HOSTILE: (1, 2)}) for each in result.reached)
    return replace(
        result,
        verdict=Unknown(HOSTILE, -1.0) if result.verdict.word == "unknown" else result.verdict,
        property=replace(result.property, variables=variables, warnings=(HOSTILE,)),
        unstable={HOSTILE: (1, 2)},
        seconds={HOSTILE: 1.0},
        reached=steps,
        device=HOSTILE,
    )


HOSTILE_ORIGIN = Origin(HOSTILE, HOSTILE, HOSTILE, HOSTILE)


def shows_as_text(page: Page, text: str) -> None:
    """The text is there as text, and made no element, attribute or template's value."""
    names = {element.name for element in page.root.walk()}
    assert "script" not in names
    assert not any("onerror" in element.attributes for element in page.root.walk())
    assert "49" not in page.root.one("title").text
    assert " ".join(text.split()) in page.root.text


@pytest.mark.parametrize("name", ["image-sat", "image-unknown", "table-sat", "table-split"])
def test_every_text_on_the_page_of_a_property_is_escaped(
    results: dict[str, Result], tmp_path: Path, name: str
) -> None:
    page = page_of(hostile_result(results[name]), tmp_path, HOSTILE_ORIGIN)
    shows_as_text(page, HOSTILE)
    assert HOSTILE in page.root.one("pre").text
    assert not re.search(r"<script", page.text)


def test_every_text_on_the_page_of_a_certification_is_escaped(
    certification: Certification, tmp_path: Path
) -> None:
    inputs = tuple(replace(each, reason=HOSTILE, stage=HOSTILE) for each in certification)
    hostile = replace(certification, inputs=inputs, seconds={HOSTILE: 1.0}, device=HOSTILE)
    shows_as_text(page_of(hostile, tmp_path, HOSTILE_ORIGIN), HOSTILE)


def test_every_text_on_the_page_of_a_benchmark_is_escaped(tmp_path: Path) -> None:
    texts = dict.fromkeys(
        ("family", "onnx", "vnnlib", "expected", "stage", "device", "reason"), HOSTILE
    )
    hostile = [replace(each, **texts) for each in RECORDS]
    shows_as_text(bench_page_of(hostile, tmp_path, HOSTILE_ORIGIN), HOSTILE)


def test_a_result_writes_its_own_page(results: dict[str, Result], tmp_path: Path) -> None:
    result = results["table-unsat"]
    result.report(tmp_path / "one.html")
    boundmesh.report(result, str(tmp_path / "two.html"))
    one, two = (Page((tmp_path / name).read_text()) for name in ("one.html", "two.html"))
    assert one.section("margins").text == two.section("margins").text
    assert "started from a Python program" in one.section("repeat").text


@pytest.mark.parametrize("bad", [None, 3, "result", object()])
def test_what_is_no_result_has_no_page(bad: object, tmp_path: Path) -> None:
    with pytest.raises(BoundmeshError, match="expected a result"):
        boundmesh.report(bad, tmp_path / "page.html")


@pytest.mark.parametrize("bad", [None, 3, b"page.html"])
def test_a_path_must_be_the_name_of_a_file(bad: object, results: dict[str, Result]) -> None:
    with pytest.raises(BoundmeshError, match="HTML file"):
        boundmesh.report(results["empty"], bad)


def test_a_page_that_cannot_be_written_is_an_error(
    results: dict[str, Result], tmp_path: Path
) -> None:
    with pytest.raises(BoundmeshError, match="cannot write"):
        results["empty"].report(tmp_path / "missing" / "page.html")


def test_no_more_inputs_are_certified_at_a_radius_than_lack_a_counterexample(
    radii: Certification,
) -> None:
    chart = radius_chart(radii)
    assert chart is not None
    sure, possible = (heights(curve.path) for curve in chart.curves)
    accurate = round(1000 * (1 - radii.clean_accuracy))
    for place in range(1001):
        # Heights are counted from the top.
        assert sure(place) >= possible(place) >= 0
    assert abs(sure(0) - accurate) <= 1


def heights(path: str) -> Callable[[float], int]:
    """The height of a curve of steps at each place across."""
    start, *steps = re.findall(r"-?\d+", path)[1:], re.findall(r"H(\d+)V(\d+)", path)
    known = [(0, int(start[0])), *((int(x), int(y)) for x, y in steps[0])]
    return lambda place: [height for across, height in known if across <= place][-1]
