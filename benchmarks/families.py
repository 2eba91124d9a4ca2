"""What is decided of VNN-COMP families on this machine, by several processes side by side.

    python benchmarks/families.py vnncomp/mnist_fc vnncomp/oval21 --timeout 60 --processes 4

Each FOLDER has an `instances.csv`. Its instances are dealt into lists of a few, hard families first
as they are named; each list is a run of `boundmesh bench` on the GPU whose turn it is. Lines go to
--out as lists end; the summary says what was solved of what is known, and what is open. Processes
that share a GPU slow each other down, so seconds are upper limits.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import torch

DECIDED = ("sat", "unsat")
Row = Mapping[str, str]


def main(options: argparse.Namespace) -> None:
    ends = time.monotonic() + options.limit
    gpus: SimpleQueue[int] = SimpleQueue()
    for place in range(options.processes):
        gpus.put(place % max(1, torch.cuda.device_count()))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.processes) as pool:
        lists = [
            each for family in options.families for each in deal(family, Path(folder), options)
        ]
        runs = [pool.submit(run, each, gpus, ends, options) for each in lists]
        for done in runs:
            rows += done.result()
            write(options.out, rows)
    for family in dict.fromkeys(row["family"] for row in rows):
        print(summary(family, [row for row in rows if row["family"] == family]))


def deal(family: Path, folder: Path, options: argparse.Namespace) -> Iterator[Path]:
    """Lists of at most `options.each` instances of a family, in the folder that bears its name."""
    with (family / "instances.csv").open(newline="") as file:
        every = [row for row in csv.DictReader(file) if options.all or row["expected"] in DECIDED]
    count = -(-len(every) // options.each)
    (folder / family.name).mkdir(exist_ok=True)
    for place in range(count):
        file = folder / family.name / f"{place}.csv"
        with file.open("w", newline="") as out:
            lines = csv.writer(out)
            lines.writerow(["onnx", "vnnlib", "timeout", "expected"])
            for row in every[place::count]:
                paths = [str((family / row[key]).resolve()) for key in ("onnx", "vnnlib")]
                lines.writerow([*paths, options.timeout, row["expected"]])
        yield file


def run(
    instances: Path, gpus: SimpleQueue[int], ends: float, options: argparse.Namespace
) -> list[Row]:
    """The lines of one list; those that were done, if time ends before."""
    left = ends - time.monotonic()
    out = instances.with_suffix(".results")
    if left <= 0:
        return []
    gpu = gpus.get()
    command = [sys.executable, "-m", "boundmesh", "bench", str(instances)]
    command += ["--out", str(out), "--limit", str(left), "--device", options.device]
    subprocess.run(
        command, capture_output=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": str(gpu)}
    )
    gpus.put(gpu)
    if not out.exists():
        return []
    with out.open(newline="") as file:
        return list(csv.DictReader(file))


def write(out: Path, rows: Sequence[Row]) -> None:
    if rows:
        with out.open("w", newline="") as file:
            lines = csv.DictWriter(file, list(rows[0]))
            lines.writeheader()
            lines.writerows(rows)


def summary(family: str, rows: Sequence[Row]) -> str:
    solved = [row for row in rows if row["verdict"] in DECIDED]
    wrong = [row for row in solved if row["expected"] in DECIDED and not agrees(row)]
    seconds = [float(row["seconds"]) for row in solved]
    words = f"{family}: {len(solved)} of {len(rows)} solved, {len(wrong)} wrong"
    if seconds:
        words += f", median {statistics.median(seconds):.2f} s, longest {max(seconds):.1f} s"
    for row in rows:
        if row["verdict"] not in DECIDED:
            names = Path(row["onnx"]).name, Path(row["vnnlib"]).name
            words += f"\n  open: {names[0]} {names[1]}, margin {row['bound'] or 'unknown'}"
    return words


def agrees(row: Row) -> bool:
    return row["verdict"] == row["expected"]


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("families", type=Path, nargs="+", metavar="FOLDER")
    options.add_argument("--timeout", type=float, default=60, help="seconds for each instance")
    options.add_argument("--processes", type=int, default=2, help="lists at a time")
    options.add_argument("--each", type=int, default=8, help="instances of a list")
    options.add_argument("--limit", type=float, default=1e9, help="seconds for everything")
    options.add_argument("--all", action="store_true", help="those of unknown verdict, too")
    options.add_argument("--device", default="auto")
    options.add_argument("--out", type=Path, default=Path("families.csv"))
    main(options.parse_args())
