"""`boundmesh bench`: every instance is decided, recorded and summed up, whatever happens."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import signal
import weakref
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from boundmesh import api
from boundmesh.bench.instances import read_instances
from boundmesh.bench.run import json_name
from boundmesh.errors import ReadError
from boundmesh.read import onnx
from boundmesh.report.records import COLUMNS
from boundmesh.verdict import TimedOut, Unknown

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
LINES = ["mlp.onnx,near.vnnlib,60,unsat", "mlp.onnx,far.vnnlib,60,sat", "conv.onnx,far.vnnlib,60,"]
TRUE = ["unsat", "sat", "sat"]
Rows = list[dict[str, str]]


@pytest.fixture
def family(tmp_path: Path) -> Callable[..., Path]:
    """Makes a list with these lines in a folder of the examples' files."""

    def make(*lines: str, header: str = "onnx,vnnlib,timeout,expected", name="digits") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file in ("mlp.onnx", "conv.onnx", "near.vnnlib", "far.vnnlib"):
            shutil.copy(DIGITS / file, folder)
        (folder / "instances.csv").write_text("\n".join([header, *lines]).strip() + "\n")
        return folder / "instances.csv"

    return make


@pytest.fixture
def deciding(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Has `step(number)` done before each verification; the properties that were asked for."""
    real = api.verify

    def replace(step: Callable[[int], None] = lambda number: None) -> list[str]:
        asked: list[str] = []

        def verify(graph: Any, prop: Path, **options: Any) -> Any:
            if isinstance(prop, Path):
                asked.append(prop.name)
                step(len(asked))
            return real(graph, prop, **options)

        monkeypatch.setattr(api, "verify", verify)
        return asked

    return replace


def rows(out: Path) -> Rows:
    with out.open(newline="") as file:
        return list(csv.DictReader(file))


def column(out: Path, name: str) -> list[str]:
    return [row[name] for row in rows(out)]


def test_every_instance_is_decided_and_recorded(command, family, tmp_path):
    out = tmp_path / "results.csv"
    outcome = command("bench", family(*LINES), "--out", out)
    assert (outcome.code, outcome.out) == (0, "")
    assert column(out, "verdict") == TRUE
    assert column(out, "family") == ["digits"] * 3
    assert column(out, "expected") == ["unsat", "sat", ""]
    assert column(out, "stage")[1:] == ["attack"] * 2
    assert float(rows(out)[0]["bound"]) > 0
    assert all(float(row["seconds"]) > 0 and float(row["peak_mib"]) > 0 for row in rows(out))


def test_without_a_file_the_records_are_printed(command, family):
    outcome = command("bench", family(*LINES))
    printed = list(csv.DictReader(outcome.out.splitlines()))
    assert [row["verdict"] for row in printed] == TRUE
    assert tuple(printed[0]) == COLUMNS


def test_the_summary_is_for_people_and_for_programs(command, family, tmp_path):
    out, data = tmp_path / "results.csv", tmp_path / "summary.json"
    outcome = command("bench", family(*LINES), "--out", out, "--json", data)
    seconds = [float(text) for text in column(out, "seconds")]
    whole = json.loads(data.read_text())["all"]
    assert (whole["instances"], whole["solved"], whole["unsat"], whole["sat"]) == (3, 3, 1, 2)
    assert whole["median"] == sorted(seconds)[1]
    assert whole["total"] == pytest.approx(sum(seconds))
    for words in ("digits", "solved", "median", "3/3"):
        assert words in outcome.words
    assert command("bench", family(*LINES, name="other"), "--quiet").err == ""


def test_the_json_of_an_instance_is_that_of_verify(command, family, tmp_path):
    found, data = tmp_path / "found", tmp_path / "verify.json"
    listed = family(*LINES)
    command("bench", listed, "--json-dir", found, "--seed", 7)
    command("verify", DIGITS / "far.vnnlib", "--network", DIGITS / "mlp.onnx", "--seed", 7,
            "--timeout", 60, "--json", data)  # fmt: skip
    files = sorted(path.name for path in (found / "digits").iterdir())
    assert files == ["conv--far.json", "mlp--far.json", "mlp--near.json"]
    mine, other = (json.loads(p.read_text()) for p in (found / "digits" / "mlp--far.json", data))
    assert mine.keys() == other.keys()
    assert mine["counterexample"] == other["counterexample"]
    assert mine["settings"] == other["settings"]


def test_several_lists_are_several_families(command, family, tmp_path):
    lists = [family(LINES[0], name=name) for name in ("one", "two")]
    data = tmp_path / "summary.json"
    command("bench", *lists, "--json", data)
    content = json.loads(data.read_text())
    assert [each["family"] for each in content["families"]] == ["one", "two"]
    assert content["all"]["run"] == 2


def test_a_list_without_a_header_may_name_unzipped_files(command, family, tmp_path):
    listed = family(f"./{LINES[1]}", header="")
    for name in ("mlp.onnx", "far.vnnlib"):
        file = listed.parent / name
        file.with_name(f"{name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    out = tmp_path / "results.csv"
    command("bench", listed, "--out", out)
    assert column(out, "verdict") == ["sat"]
    assert column(out, "expected") == ["sat"]


def test_the_timeout_given_replaces_those_of_the_list(command, family, tmp_path):
    out = tmp_path / "results.csv"
    command("bench", family(LINES[0], "conv.onnx,far.vnnlib,,"), "--timeout", 30, "--out", out)
    assert column(out, "timeout") == ["30.0", "30.0"]


def test_some_can_be_selected(command, family, deciding):
    listed = family(*LINES)
    asked = deciding()
    command("bench", listed, "--select", r"conv.*far")
    command("bench", listed, "--every", 2)
    assert asked == ["far.vnnlib", "near.vnnlib", "far.vnnlib"]


def test_what_a_kill_left_half_written_is_run_again_and_nothing_else(
    command, family, deciding, tmp_path
):
    out, listed = tmp_path / "results.csv", family(*LINES)
    command("bench", listed, "--out", out)
    whole = out.read_bytes()
    out.write_bytes(whole[:-20])
    asked = deciding()
    outcome = command("bench", listed, "--out", out)
    assert asked == ["far.vnnlib"]
    assert "2 of 3 instances are in the results already" in outcome.words
    assert column(out, "verdict") == TRUE
    kept = whole.rfind(b"\n", 0, len(whole) - 1) + 1
    assert out.read_bytes()[:kept] == whole[:kept]


def test_a_finished_run_is_summed_up_again_without_running(command, family, deciding, tmp_path):
    out, listed, data = tmp_path / "results.csv", family(*LINES), tmp_path / "summary.json"
    command("bench", listed, "--out", out)
    asked = deciding()
    outcome = command("bench", listed, "--out", out, "--json", data, "--timeout", 9)
    assert asked == []
    assert json.loads(data.read_text())["all"]["solved"] == 3
    assert "3 of them had another timeout" in outcome.words


def test_a_wrong_verdict_is_told_and_ends_with_2(command, family, tmp_path):
    data = tmp_path / "summary.json"
    listed = family(LINES[0].replace("unsat", "sat"), LINES[1])
    outcome = command("bench", listed, "--json", data, "--quiet")
    assert outcome.code == 2
    assert "WRONG: expected sat" in outcome.words
    content = json.loads(data.read_text())
    assert (content["all"]["wrong"], content["all"]["solved"]) == (1, 1)
    assert content["wrong"] == [["digits", "mlp.onnx", "near.vnnlib"]]


def test_results_are_judged_by_what_the_list_expects_today(command, family, tmp_path):
    out, listed = tmp_path / "results.csv", family(LINES[1])
    assert command("bench", listed, "--out", out).code == 0
    listed.write_text(listed.read_text().replace(",sat", ",unsat"))
    assert command("bench", listed, "--out", out).code == 2


def test_an_undecided_instance_is_not_wrong(command, family, tmp_path):
    out = tmp_path / "results.csv"
    outcome = command("bench", family(LINES[0]), "--method", "ibp", "--out", out)
    assert outcome.code == 0
    (row,) = rows(out)
    assert (row["verdict"], row["stage"]) == ("unknown", "ibp")
    assert float(row["bound"]) <= 0
    assert "could not be excluded" in row["reason"]


def test_a_crash_is_recorded_and_the_run_goes_on(command, family, deciding, tmp_path):
    def crash(number: int) -> None:
        if number == 2:
            raise ZeroDivisionError("by,\nzero")

    deciding(crash)
    out, found = tmp_path / "results.csv", tmp_path / "found"
    outcome = command("bench", family(*LINES), "--out", out, "--json-dir", found)
    assert outcome.code == 0
    assert column(out, "verdict") == ["unsat", "error", "sat"]
    assert column(out, "reason")[1] == "ZeroDivisionError: by, zero"
    assert "defect" in outcome.words
    content = json.loads((found / "digits" / "mlp--far.json").read_text())
    assert "in crash" in content["traceback"]


def test_bad_files_are_errors_of_their_instances(command, family, tmp_path):
    out = tmp_path / "results.csv"
    lines = ["absent.onnx,near.vnnlib,60,", "mlp.onnx,mlp.onnx,60,unsat", LINES[1]]
    outcome = command("bench", family(*lines), "--out", out)
    assert outcome.code == 0
    assert "defect" not in outcome.words
    assert column(out, "verdict") == ["error", "error", "sat"]
    assert "absent.onnx" in column(out, "reason")[0]


def test_what_an_instance_out_of_memory_held_is_let_go(command, family, deciding, tmp_path):
    held: list[weakref.ref[torch.Tensor]] = []

    def fill(number: int) -> None:
        if number == 2:
            tensor = torch.zeros(10)
            cycle: list[Any] = [tensor]
            cycle.append(cycle)
            held.append(weakref.ref(tensor))
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert all(reference() is None for reference in held)

    deciding(fill)
    out = tmp_path / "results.csv"
    command("bench", family(*LINES), "--out", out)
    assert len(held) == 1
    assert column(out, "verdict") == ["unsat", "error", "sat"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_its_instance_to_the_next_run(
    command, family, deciding, tmp_path, number
):
    def interrupt(place: int) -> None:
        if place == 2:
            os.kill(os.getpid(), number)

    deciding(interrupt)
    before = signal.getsignal(number)
    out, listed, found = tmp_path / "results.csv", family(*LINES), tmp_path / "found"
    outcome = command("bench", listed, "--out", out, "--json-dir", found)
    assert outcome.code == 130
    assert "interrupted: 2 instances are left" in outcome.words
    assert column(out, "verdict") == TRUE[:1]
    assert len(list((found / "digits").iterdir())) == 1
    assert signal.getsignal(number) is before
    deciding()
    assert command("bench", listed, "--out", out).code == 0
    assert column(out, "verdict") == TRUE


def test_an_interruption_that_the_engine_answers_itself_is_not_recorded(
    command, family, monkeypatch, tmp_path
):
    """The engine turns Ctrl-C into `unknown`, which must not pass for a result."""
    real = api.verify

    def verify(graph, prop, **options):
        result = real(graph, prop, **options)
        if isinstance(prop, Path):
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                object.__setattr__(result, "verdict", Unknown("interrupted", 0.0))
        return result

    monkeypatch.setattr(api, "verify", verify)
    out = tmp_path / "results.csv"
    assert command("bench", family(*LINES), "--out", out).code == 130
    assert rows(out) == []


def test_the_limit_stops_the_run_and_cuts_no_verdict_short(command, family, monkeypatch, tmp_path):
    real = api.verify
    given: list[float] = []

    def verify(graph, prop, **options):
        result = real(graph, prop, **options)
        if isinstance(prop, Path):
            given.append(options["settings"].timeout)
            object.__setattr__(result, "verdict", TimedOut("late", 0.0))
        return result

    monkeypatch.setattr(api, "verify", verify)
    out, listed = tmp_path / "results.csv", family(LINES[0], LINES[1].replace(",60,", ",900,"))
    outcome = command("bench", listed, "--limit", 300, "--out", out)
    assert outcome.code == 0
    assert given[0] <= 60 < given[1] <= 300
    assert column(out, "verdict") == ["timed-out"]
    assert "the time is up: 1 instances are left" in outcome.words
    assert command("bench", listed, "--limit", 0, "--out", out).code == 0
    assert len(rows(out)) == 1


def test_a_network_is_loaded_once(command, family, monkeypatch):
    loaded: list[str] = []
    real = onnx.load

    def load(path, **given):
        loaded.append(Path(path).name)
        return real(path, **given)

    monkeypatch.setattr(onnx, "load", load)
    command("bench", family(*LINES, "mlp.onnx,far.vnnlib,60", "mlp.onnx,./near.vnnlib,60"))
    assert loaded == ["mlp.onnx", "conv.onnx"]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_plot_is_a_picture(command, family, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    out, listed, plot = tmp_path / "results.csv", family(*LINES), tmp_path / f"cactus.{suffix}"
    command("bench", listed, "--out", out, "--plot", plot)
    data = plot.read_bytes()
    if suffix == "png":
        assert data.startswith(b"\x89PNG\r\n\x1a\n") and data.endswith(b"IEND\xaeB`\x82")
        assert int.from_bytes(data[16:20], "big") > 400
    else:
        root = ElementTree.fromstring(data)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 4


def test_a_plot_that_cannot_be_drawn_is_refused_before_the_work(
    command, family, deciding, monkeypatch, tmp_path
):
    listed = family(*LINES)
    asked = deciding()
    outcome = command("bench", listed, "--plot", tmp_path / "cactus.pdf")
    assert (outcome.code, outcome.out) == (2, "")
    assert ".png or .svg" in outcome.words
    monkeypatch.setattr(import_module("boundmesh.report.cactus"), "find_spec", lambda name: None)
    outcome = command("bench", listed, "--plot", tmp_path / "cactus.png")
    assert outcome.code == 2
    assert "boundmesh[plot]" in outcome.words
    assert asked == []


def test_two_results_are_compared(command, family, tmp_path):
    old, new, listed = tmp_path / "old.csv", tmp_path / "new.csv", family(*LINES)
    command("bench", listed, "--out", old, "--method", "ibp")
    command("bench", listed, "--out", new, "--every", 2)
    outcome = command("bench", "--compare", old, new)
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "family,onnx,vnnlib,old,new",
        "digits,mlp.onnx,near.vnnlib,unknown,unsat",
    ]
    assert "2 instances are in both results, 1 verdicts differ; 1 were solved" in outcome.words
    new.write_text(old.read_text().replace(",sat,", ",unsat,"))
    assert command("bench", "--compare", old, new).code == 2


@pytest.mark.parametrize(
    ("lines", "options", "expected"),
    [
        (["mlp.onnx,near.vnnlib,60,maybe"], [], "'maybe'"),
        (["mlp.onnx,near.vnnlib,-1,"], [], "instances.csv:2: timeout is '-1'"),
        (["mlp.onnx"], [], "instances.csv:2"),
        ([], [], "holds no instance"),
        (LINES, ["--select", "("], "regular expression"),
        (LINES, ["--select", "cifar"], "found in no"),
        (LINES, ["--timeout", "0"], "timeout"),
        (LINES, ["--device", "abacus"], "abacus"),
        (LINES, ["--out", "absent/results.csv"], "absent"),
        (LINES, ["--compare", "a.csv", "b.csv"], "no list"),
    ],
)
def test_what_makes_no_sense_is_refused(command, family, lines, options, expected):
    outcome = command("bench", family(*lines), *options)
    assert outcome.code == 2
    assert expected in outcome.words
    assert "Traceback" not in outcome.err and "defect" not in outcome.err


def test_no_list_a_missing_list_and_two_of_one_name_are_refused(command, family, tmp_path):
    listed = family(*LINES)
    other = tmp_path / "elsewhere" / "digits"
    shutil.copytree(listed.parent, other)
    for words, expected in (
        ([], "which instances"),
        (["absent.csv"], "absent.csv"),
        ([listed, other / "instances.csv"], "both of the family 'digits'"),
    ):
        outcome = command("bench", *words)
        assert outcome.code == 2
        assert expected in outcome.words


def test_results_never_overwrite_another_file(command, family):
    listed = family(*LINES)
    before = listed.read_bytes()
    other = listed.with_name("other.csv")
    other.write_bytes(before)
    for file, words in ((listed, "is an input, which would be lost"), (other, "no results file")):
        outcome = command("bench", listed, "--out", file)
        assert outcome.code == 2
        assert words in outcome.words
        assert file.read_bytes() == before
    assert listed.read_bytes() == before


OPTIONS = (
    "--timeout --out --json-dir --device --dtype --method --seed --branching --select --every "
    "--limit --json --plot --compare --threads --quiet"
)


@pytest.mark.parametrize("option", OPTIONS.split())
def test_help_shows_every_option(command, option):
    assert option in command("bench", "--help").out


def test_a_list_names_several_networks(tmp_path: Path):
    file = tmp_path / "pairs" / "2.0" / "instances.csv"
    file.parent.mkdir(parents=True)
    file.write_text(
        "\"[('f', 'a.onnx'), ('g', 'b.onnx')]\",p.vnnlib,10\n"
        "[('f', 'a.onnx'), ('g', 'c.onnx')],p.vnnlib,20\n"
        "a.onnx,q.vnnlib,30\n"
    )
    first, second, third = read_instances([file])
    assert {each.family for each in (first, second, third)} == {"pairs"}
    assert [each.timeout for each in (first, second, third)] == [10, 20, 30]
    assert first.networks == {"f": file.parent / "a.onnx", "g": file.parent / "b.onnx"}
    assert second.networks == {"f": file.parent / "a.onnx", "g": file.parent / "c.onnx"}
    assert third.networks == {None: file.parent / "a.onnx"}
    assert json_name(first) == Path("pairs/a.onnx+b--p.json")


def test_a_list_of_networks_in_another_form_is_refused(tmp_path: Path):
    file = tmp_path / "instances.csv"
    file.write_text('"[a.onnx; b.onnx]",p.vnnlib,10\n')
    with pytest.raises(ReadError, match=r"instances\.csv:1: the networks are \[a\.onnx; b\.onnx\]"):
        read_instances([file])
