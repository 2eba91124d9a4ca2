"""Lists, records and summaries of benchmarks, on their own."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boundmesh.bench.instances import Instance, read_instances
from boundmesh.bench.run import Stages, json_name
from boundmesh.errors import ReadError
from boundmesh.report.cactus import curves
from boundmesh.report.records import HEADER, VERDICTS, Record, append, line, read_records, resume
from boundmesh.report.summary import ALL, compare, summarize
from boundmesh.runtime.progress import SILENT
from boundmesh.verdict import Unknown, Verified

RECORD = Record("f", "a.onnx", "b.vnnlib", 60.0, "", "unsat", 1.5, "branch", 0.25, 10.0, "cpu", "")
NUMBERS = st.floats(allow_nan=False)
WORDS = st.text(st.characters(exclude_characters="\r\n\x00", codec="utf-8"), max_size=12)
RECORDS = st.builds(
    Record,
    family=st.sampled_from(["one", "two", "three"]),
    onnx=WORDS,
    vnnlib=WORDS,
    timeout=st.none() | st.floats(0.1, 1e4),
    expected=st.sampled_from(["", "sat", "unsat"]),
    verdict=st.sampled_from(VERDICTS),
    seconds=st.floats(0, 1e4),
    stage=st.sampled_from(["attack", "branch"]),
    bound=st.none() | NUMBERS,
    peak_mib=st.floats(0, 1e6),
    device=WORDS,
    reason=WORDS,
)


def written(folder: Path, *records: Record) -> Path:
    path = folder / "results.csv"
    resume(path)
    for record in records:
        append(path, record)
    return path


@given(record=RECORDS)
def test_a_record_reads_back_as_it_was(tmp_path_factory, record):
    record = replace(record, reason=" ".join(record.reason.split()))
    assert read_records(written(tmp_path_factory.mktemp("records"), record)) == [record]


def test_a_reason_of_several_lines_is_one_line_of_the_file():
    assert line(replace(RECORD, reason='a\nb\r\n\x85c, "d"')).count("\n") == 1


def test_a_file_cut_anywhere_gives_its_complete_lines_and_can_be_continued(tmp_path):
    records = [replace(RECORD, onnx=f"{place}.onnx", reason="é, 1") for place in range(3)]
    data = written(tmp_path, *records).read_bytes()
    cut = tmp_path / "cut.csv"
    for length in range(len(data) + 1):
        cut.write_bytes(data[:length])
        kept = resume(cut)
        whole = data[:length].count(b"\n") - 1
        assert kept == records[: max(whole, 0)]
        for record in records[len(kept) :]:
            append(cut, record)
        assert cut.read_bytes() == data


@pytest.mark.parametrize(
    "text",
    [
        "onnx,vnnlib,timeout\n",
        "\n",
        "notes",
        f"{HEADER}a,b\n",
        HEADER + line(RECORD).replace("unsat", "proved"),
        HEADER + line(RECORD).replace("1.5", "fast"),
        f"{HEADER}\n",
    ],
)
def test_what_is_no_results_file_is_refused_and_left_alone(tmp_path, text):
    path = tmp_path / "results.csv"
    path.write_text(text)
    with pytest.raises(ReadError, match=r"results\.csv"):
        resume(path)
    assert path.read_text() == text


@given(records=st.lists(RECORDS, max_size=30))
def test_summaries_count_what_numpy_counts(records):
    families = [record.family for record in records]
    *parts, whole = summarize(families, records)
    assert [part.family for part in parts] == list(dict.fromkeys(families))
    table = np.array([(r.family, r.verdict, r.expected) for r in records], object).reshape(-1, 3)
    seconds = np.array([record.seconds for record in records])
    for part in (*parts, whole):
        mine = (table[:, 0] == part.family) | (part.family == ALL)
        verdict, expected = table[mine, 1], table[mine, 2]
        decided = (verdict == "sat") | (verdict == "unsat")
        wrong = decided & (expected != "") & (verdict != expected)
        solved = seconds[mine][decided & ~wrong]
        assert (part.run, part.wrong, part.solved) == (mine.sum(), wrong.sum(), solved.size)
        counts = part.unsat, part.sat, part.unknown, part.timed_out, part.errors
        assert counts == tuple((verdict == word).sum() for word in VERDICTS)
        assert part.total == pytest.approx(seconds[mine].sum())
        if solved.size:
            assert part.median == pytest.approx(np.median(solved))
            assert part.mean == pytest.approx(solved.mean())
        else:
            assert (part.median, part.mean) == (None, None)


@given(records=st.lists(RECORDS, max_size=30))
def test_a_curve_holds_the_solved_in_order_of_their_time(records):
    found = curves(records)
    for seconds in found.values():
        assert seconds == sorted(seconds)
    solved = sum(record.solved for record in records)
    assert sum(len(s) for family, s in found.items() if family != ALL) == solved
    if len(found) > 1:
        assert len(found[ALL]) == solved


def test_a_comparison_tells_changes_and_pace():
    def run(*verdicts: tuple[str, str, float]) -> list[Record]:
        return [replace(RECORD, onnx=n, verdict=v, seconds=s) for n, v, s in verdicts]

    old = run(("a", "unsat", 1.0), ("b", "unknown", 9.0), ("c", "sat", 4.0), ("d", "sat", 1.0))
    new = run(("a", "unsat", 2.0), ("b", "unsat", 5.0), ("c", "sat", 2.0), ("e", "sat", 1.0))
    changes, pace = compare(old, new)
    assert [(change.old.onnx, change.new.verdict) for change in changes] == [("b", "unsat")]
    assert not changes[0].contradiction
    assert (pace.common, pace.both, pace.old, pace.new) == (3, 2, 5.0, 4.0)
    assert math.isclose(pace.ratio or 0, 1.0)
    (change,), _ = compare(run(("a", "unsat", 1.0)), run(("a", "sat", 1.0)))
    assert change.contradiction


def test_columns_are_found_by_name_wherever_they_are(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("tier, vnnlib, expected,onnx\nhard, p.vnnlib, SAT, n.onnx\n\n,p,unknown,n\n")
    first, second = read_instances([path])
    assert (first.onnx, first.vnnlib, first.expected) == ("n.onnx", "p.vnnlib", "sat")
    assert first.timeout is None
    assert second.expected == ""


def test_without_names_a_fourth_column_counts_only_if_it_is_a_verdict(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("n.onnx,p.vnnlib,60,unsat\nn.onnx,q.vnnlib,60,hard\nn.onnx,p.vnnlib,60,sat\n")
    first, second = read_instances([path])
    assert (first.expected, second.expected) == ("unsat", "")
    assert first.networks == {None: tmp_path / "n.onnx"}


def test_a_proof_comes_from_the_tightest_stage_and_the_rest_from_the_last():
    stages = Stages(SILENT)
    for name in ("check", "attack", "crown-ibp", "alpha-crown", "attack", "crown-ibp"):
        stages.stage(name)
    assert stages.deciding(Verified(1.0)) == "alpha-crown"
    assert stages.deciding(Unknown("", 0.0)) == "crown-ibp"
    stages.stage("branch")
    assert stages.deciding(Verified(1.0)) == "branch"


def test_every_stage_of_the_engine_has_its_place():
    from boundmesh.bench.run import TIGHTNESS
    from boundmesh.bounds.methods.table import METHODS

    assert set(METHODS) < set(TIGHTNESS)


def test_json_files_of_instances_do_not_meet():
    names = {
        json_name(Instance("f", onnx, vnnlib, Path(), None, ""))
        for onnx in ("onnx/a.onnx.gz", "./onnx/b.onnx", "b.onnx")
        for vnnlib in ("x/p.vnnlib", "y/p.vnnlib.gz")
    }
    assert len(names) == 6
    assert all(name.parent == Path("f") for name in names)
