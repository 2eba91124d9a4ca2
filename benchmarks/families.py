"""What is decided of VNN-COMP families on this machine, by several processes side by side.

    python benchmarks/families.py vnncomp/mnist_fc vnncomp/oval21 --timeout 60 --processes 4

Each FOLDER has an `instances.csv`. Its instances are dealt into lists of a few, hard families first
as they are named; each list is a run of `boundmesh bench` on the GPU whose turn it is, of those
that CUDA_VISIBLE_DEVICES names if it is set. Lines go to --out as lists end; the summary says what
was solved of what is known, and what is open. Processes that share a GPU slow each other down, so
seconds are upper limits.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from queue import SimpleQueue

import torch

from boundmesh.report.bench_console import BenchConsole
from boundmesh.report.records import HEADER, SOLVED, Record, append, read_records
from boundmesh.report.summary import summarize


def main(options: argparse.Namespace) -> None:
    ends = time.monotonic() + options.limit
    gpus: SimpleQueue[str] = SimpleQueue()
    for _, gpu in zip(range(options.processes), cycle(visible_gpus()), strict=False):
        gpus.put(gpu)
    found: list[Record] = []
    options.out.write_text(HEADER, encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.processes) as pool:
        lists = [
            each for family in options.families for each in deal(family, Path(folder), options)
        ]
        runs = [pool.submit(run, each, gpus, ends, options) for each in lists]
        for done in runs:
            for record in done.result():
                append(options.out, record)
                found.append(record)
    BenchConsole().summary(summarize([record.family for record in found], found))
    for record in found:
        if record.verdict not in SOLVED:
            print(f"open: {Path(record.onnx).name} {Path(record.vnnlib).name} {record.bound}")


def visible_gpus() -> list[str]:
    """The names of this machine's GPUs, as far as they may be used; one that is none without."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())] or [""]


def deal(family: Path, folder: Path, options: argparse.Namespace) -> Iterator[Path]:
    """Lists of at most `options.each` instances of a family, in the folder that bears its name."""
    with (family / "instances.csv").open(newline="") as source:
        every = [row for row in csv.DictReader(source) if options.all or row["expected"] in SOLVED]
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
    instances: Path, gpus: SimpleQueue[str], ends: float, options: argparse.Namespace
) -> list[Record]:
    """The results of one list; those that were done, if time ends before."""
    left = ends - time.monotonic()
    out = instances.with_suffix(".results")
    if left <= 0:
        return []
    gpu = gpus.get()
    command = [sys.executable, "-m", "boundmesh", "bench", str(instances)]
    command += ["--out", str(out), "--limit", str(left), "--device", options.device]
    subprocess.run(command, capture_output=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": gpu})
    gpus.put(gpu)
    return read_records(out) if out.exists() else []


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
