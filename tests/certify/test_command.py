"""`boundmesh certify` reads inputs in every usual form, and writes what it found."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import boundmesh
from tests.conftest import Command

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
CONV, MLP, IMAGE = DIGITS / "conv.onnx", DIGITS / "mlp.onnx", np.load(DIGITS / "image.npy")
LABEL, OTHER = 2, 3


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three images as `.npy`, with their labels, and as pictures."""
    images = np.concatenate([IMAGE, IMAGE, 1 - IMAGE])
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "y.npy", [LABEL, OTHER, LABEL])
    np.savez(tmp_path / "xy.npz", x=images, y=[LABEL, OTHER, LABEL])
    for folder, count in (("2", 2), ("10", 1)):
        (tmp_path / "classes" / folder).mkdir(parents=True)
        for place in range(count):
            picture(tmp_path / "classes" / folder / f"{place}.png")
    (tmp_path / "flat").mkdir()
    picture(tmp_path / "flat" / "b.png")
    picture(tmp_path / "flat" / "a.PNG")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(file: Path, size: tuple[int, int] = (8, 8), mode: str = "L") -> None:
    pixels = np.rint(IMAGE[0, 0] * 255).astype(np.uint8)
    Image.fromarray(pixels).resize(size).convert(mode).save(file)


def counts(out: str) -> dict[str, int]:
    """The counts of a table, without a table of radii below it."""
    lines = out.split("\n\n")[0].splitlines()
    return {line.split()[0]: int(line.split()[1]) for line in lines}


def test_labels_beside_the_inputs_or_inside_of_them_give_the_same_counts(
    command: Command, here: Path
) -> None:
    beside = command("certify", CONV, "x.npy", "--labels", "y.npy", "--eps", "8/255")
    inside = command("certify", CONV, "xy.npz", "--eps", "8/255")
    assert beside.code == inside.code == 0
    assert beside.out == inside.out
    found = counts(beside.out)
    assert found["inputs"] == 3 and found["certified"] == 1 and found["misclassified"] >= 1
    assert "clean accuracy" in beside.words and "8/255 (inf-norm)" in beside.words


def test_without_labels_predictions_are_kept(command: Command, here: Path) -> None:
    outcome = command("certify", CONV, "x.npy", "--eps", "0.02", "--clip", "0,1")
    assert "misclassified" not in outcome.out
    assert counts(outcome.out)["certified"] >= 2
    assert "the network's own predictions are kept" in outcome.words


def test_results_are_written_for_programs(command: Command, here: Path) -> None:
    files = ("--csv", "o.csv", "--json", "o.json", "--npz", "o.npz")
    command("certify", CONV, "xy.npz", "--eps", "0.3", *files)
    with Path("o.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    content = json.loads(Path("o.json").read_text())
    arrays = np.load("o.npz")
    words = [row["verdict"] for row in rows]
    assert words == [each["verdict"] for each in content["inputs"]] == arrays["verdicts"].tolist()
    assert content["counts"]["inputs"] == 3 and content["eps"] == "3/10"
    assert content["norm"] == "inf" and content["settings"]["rounding"] == "auto"
    for place, point in zip(arrays["counterexample_of"], arrays["counterexamples"], strict=True):
        assert point.shape == (1, 8, 8)
        assert content["inputs"][place]["counterexample"] == point.tolist()
        assert np.abs(point - np.load("x.npy")[place]).max() <= 0.3
    assert np.isposinf(arrays["margins"][np.arange(3), arrays["labels"]]).all()
    assert [float(row["certified_eps"]) for row in rows] == arrays["certified_eps"].tolist()


def test_exit_codes_tell_the_verdicts_only_when_asked(command: Command, here: Path) -> None:
    for eps, method, more, code in (
        ("0.01", "auto", ("--first", "1"), 0),
        ("0.01", "auto", (), 1),
        ("0.1", "ibp", ("--first", "1"), 3),
    ):
        words = ("certify", CONV, "xy.npz", "--eps", eps, "--method", method, *more)
        assert command(*words).code == 0
        assert command(*words, "--exit-code").code == code


def test_pictures_in_folders_are_inputs_and_folders_their_labels(
    command: Command, here: Path
) -> None:
    flat = command("certify", CONV, "flat", "--eps", "0.01", "--csv", "flat.csv")
    assert counts(flat.out)["certified"] == 2
    with Path("flat.csv").open() as lines:
        assert [row["file"] for row in csv.DictReader(lines)] == ["a.PNG", "b.png"]
    refused = command("certify", CONV, "classes", "--eps", "0.01")
    assert (refused.code, refused.out) == (2, "")
    assert "label of input 0 is 10; expected a whole number from 0 to 9" in refused.words
    (here / "classes" / "10").rename(here / "classes" / "3")
    named = command("certify", CONV, "classes", "--eps", "0.01")
    assert counts(named.out) == {
        "inputs": 3, "certified": 2, "falsified": 0, "misclassified": 1, "unknown": 0
    }  # fmt: skip


def test_the_largest_radii_stand_in_the_table(command: Command, here: Path) -> None:
    words = ("certify", MLP, "x.npy", "--first", "1", "--eps", "0.5", "--clip", "0,1")
    outcome = command(*words, "--largest", "--tolerance", "0.1", "--json", "o.json")
    (found,) = json.loads(Path("o.json").read_text())["inputs"]
    assert 0 < found["certified_eps"] < found["falsified_eps"] <= 0.5
    assert f"median {found['certified_eps']:.5g} {found['falsified_eps']:.5g}" in " ".join(
        outcome.out.split()
    )


def test_a_normalisation_is_given_for_each_channel(command: Command, here: Path) -> None:
    shifted = command("certify", CONV, "x.npy", "--eps", "1/50", "--mean", "0", "--std", "1.0")
    assert shifted.out == command("certify", CONV, "x.npy", "--eps", "0.02").out
    refused = command("certify", CONV, "x.npy", "--eps", "0.02", "--mean", "0.5,0.5")
    assert "mean has the shape [2]; expected one number, or 1" in refused.words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("x.npy", "--eps", "a lot"), "eps is 'a lot'; expected a number such as 0.03 or 8/255"),
        (("x.npy", "--eps", "-1"), "eps is '-1'; expected a number ≥ 0"),
        (("x.npy",), "Missing option '--eps'"),
        (("z.npy", "--eps", "1"), "z.npy: there is no such file"),
        (("y.npy", "--eps", "1"), "the inputs have the shape [3]"),
        (("x.npy", "--eps", "1", "--labels", "x.npy"), "labels have the shape [3, 1, 8, 8]"),
        (("x.npy", "--eps", "1", "--norm", "2", "--clip", "2,3"), "lie outside of clip 2…3"),
        (("x.npy", "--eps", "1", "--norm", "9"), "norm is '9'; expected 1, 2 or inf"),
        (("x.npy", "--eps", "1", "--clip", "1"), "--clip is '1'; expected two numbers"),
        (("x.npy", "--eps", "1", "--std", "x"), "--std is 'x'; expected a number"),
        (("x.npy", "--eps", "1", "--csv", "no/where.csv"), "there is no folder no"),
        (("text.npy", "--eps", "1"), "cannot read text.npy as .npy or .npz"),
        (("words.npy", "--eps", "1"), "words.npy holds <U5; expected real numbers"),
        (("many.npz", "--eps", "1"), "holds the arrays a, b; expected inputs under one of"),
        (("empty", "--eps", "1"), "empty has no images; expected files that end in one of"),
        (("mixed", "--eps", "1"), "has images of its own and images in subfolders"),
        (("large", "--eps", "1"), "the image is 9 wide and 7 high; the network takes 8 by 8"),
        (("broken", "--eps", "1"), "a.png: cannot be read as an image"),
    ],
)
def test_what_cannot_be_certified_ends_in_one_message(
    command: Command, here: Path, words: tuple[str, ...], message: str
) -> None:
    for folder in ("empty", "mixed/1", "large", "broken"):
        (here / folder).mkdir(parents=True)
    picture(here / "mixed" / "a.png")
    picture(here / "mixed" / "1" / "b.png")
    picture(here / "large" / "a.png", (9, 7))
    (here / "broken" / "a.png").write_text("no image")
    (here / "text.npy").write_text("no array")
    np.save(here / "words.npy", np.array(["words"]))
    np.savez(here / "many.npz", a=IMAGE, b=IMAGE)
    outcome = command("certify", CONV, *words)
    assert outcome.code == 2 and not outcome.out
    assert message in outcome.words


def test_without_pillow_folders_are_refused_in_one_line(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    outcome = command("certify", CONV, "flat", "--eps", "0.01")
    assert outcome.code == 2 and "pip install 'boundmesh[images]'" in outcome.words


def test_verify_proves_that_one_input_keeps_its_label(command: Command, here: Path) -> None:
    np.save("one.npy", IMAGE)
    words = ("verify", CONV, "--input", "one.npy", "--eps", "8/255")
    assert command(*words).out == command(*words, "--label", "2", "--clip", "0,1").out == "unsat\n"
    assert command(*words[:1], "--network", CONV, *words[2:]).out == "unsat\n"
    assert command(*words, "--norm", "2").out == "unsat\n"
    assert command(*words, "--norm", "1", "--clip", "0,1").out == "unsat\n"
    assert command(*words, "--label", "3").out.startswith("sat\nX Real [1,1,8,8]")


def test_a_counterexample_of_one_input_is_written_in_the_shape_of_the_input(
    command: Command, here: Path
) -> None:
    np.save("one.npy", IMAGE)
    outcome = command("verify", CONV, "--input", "one.npy", "--eps", "0.5", "--clip", "0,1")
    lines = outcome.out.splitlines()
    assert lines[:2] == ["sat", "X Real [1,1,8,8]"]
    assert lines[66] == "Y Real [1,10]" and len(lines) == 2 + 64 + 1 + 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((CONV, "--input", "x.npy", "--eps", "1"), "the input has the shape [3, 1, 8, 8]"),
        ((CONV, "--input", "one.npy"), "--input needs --eps"),
        ((CONV, "--eps", "1"), "--eps needs --input FILE.npy"),
        ((CONV, "--label", "1"), "--label needs --input FILE.npy"),
        (("--network", CONV), "which property? give SPEC, or --input FILE.npy --eps R"),
        ((CONV, "--input", "one.npy", "--eps", "1", "--label", "10"), "expected a whole number"),
        ((CONV, "--network", CONV, "--input", "one.npy", "--eps", "1"), "is too many"),
        ((DIGITS / "near.vnnlib", "--input", "one.npy", "--eps", "1"), "is too many"),
    ],
)
def test_an_input_in_place_of_a_property_needs_all_of_its_options(
    command: Command, here: Path, words: tuple[str, ...], message: str
) -> None:
    np.save("one.npy", IMAGE)
    outcome = command("verify", *words)
    assert outcome.code == 2 and not outcome.out and message in outcome.words


def test_the_command_and_the_function_agree(command: Command, here: Path) -> None:
    command("certify", CONV, "xy.npz", "--eps", "0.1", "--json", "o.json")
    content = json.loads(Path("o.json").read_text())
    data = np.load("xy.npz")
    found = boundmesh.certify(boundmesh.load(CONV), data["x"], data["y"], eps="0.1")
    assert content["counts"] == {"inputs": 3, **found.counts}
    margins = [[None if np.isinf(m) else m for m in row] for row in found.margins.tolist()]
    assert [each["margins"] for each in content["inputs"]] == margins


@pytest.mark.parametrize(
    "pixels",
    [np.full((8, 8), 30000, np.uint16), np.full((8, 8), 0.5, np.float32),
     np.full((8, 8), 1000, np.int32)],
    ids=["16 bits", "floats", "32 bits"],
)  # fmt: skip
def test_images_that_eight_bits_do_not_hold_are_refused(
    command: Command, tmp_path: Path, pixels: np.ndarray
) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    outcome = command("certify", CONV, tmp_path, "--eps", "0.02")
    assert (outcome.code, outcome.out) == (2, "")
    assert "more than 8 bits" in outcome.words


def test_a_damaged_or_enormous_image_is_refused_before_it_is_unpacked(
    command: Command, tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.bmp")
    whole = (tmp_path / "a.bmp").read_bytes()
    for size in ((70000).to_bytes(4, "little") * 2, (9000).to_bytes(4, "little") * 2):
        (tmp_path / "a.bmp").write_bytes(whole[:18] + size + whole[26:])
        outcome = command("certify", CONV, tmp_path, "--eps", "0.02")
        assert (outcome.code, outcome.out) == (2, "")
        assert "a.bmp" in outcome.words and "defect" not in outcome.words


def test_a_quiet_run_writes_nothing_to_standard_error(command: Command, here: Path) -> None:
    assert command("certify", MLP, "x.npy", "--first", 1, "--eps", "0", "--quiet").err == ""
