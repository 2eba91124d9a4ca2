"""Runs families of VNN-COMP on this machine, by one tree or by two in turn.

    python benchmarks/families.py vnncomp/oval21 vnncomp/yolo --timeout 60 --processes 4
    python benchmarks/families.py vnncomp/oval21 --trees before=../old after=.
    python benchmarks/families_table.py families.jsonl

Each FOLDER has an `instances.csv`. Its instances are dealt into lists of a few, hard families first
as they are named; each list is a run of `boundmesh bench` on the GPU whose turn it is, of those
that CUDA_VISIBLE_DEVICES names if it is set. With two trees both run each list, one after the other
on the same GPU, and which comes first alternates. One JSON line for each instance goes to --out as
lists end; the tables of `families_table.py` are printed last. Processes that share a GPU slow each
other down, so seconds are upper limits.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from queue import SimpleQueue

import torch
from families_table import Line, tables

from boundmesh.report.records import SOLVED, read_records

HERE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Job:
    """Instances of one family, and the trees that run them in this order.

    file   the list
    known  the row of each property in the family's own list, by the files' paths
    trees  the folders of the trees, by name
    """

    file: Path
    known: Mapping[tuple[str, str], Mapping[str, str]]
    trees: Mapping[str, Path]


def main(options: argparse.Namespace) -> None:
    ends = time.monotonic() + options.limit
    gpus: SimpleQueue[str] = SimpleQueue()
    for _, gpu in zip(range(options.processes), cycle(visible_gpus()), strict=False):
        gpus.put(gpu)
    trees = dict(each.split("=", 1) for each in options.trees)
    places = {name: Path(tree).resolve() for name, tree in trees.items()} or {"now": HERE}
    found: list[Line] = []
    options.out.write_text("", encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.processes) as pool:
        jobs = [
            job
            for family in options.families
            for job in deal(family, Path(folder), places, options)
        ]
        for done in as_completed([pool.submit(run, job, gpus, ends, options) for job in jobs]):
            found += done.result()
            with options.out.open("a", encoding="utf-8") as out:
                out.writelines(f"{json.dumps(line)}\n" for line in done.result())
    print(tables(found))


def visible_gpus() -> list[str]:
    """The names of this machine's GPUs, as far as they may be used; one that is none without."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())] or [""]


def deal(
    family: Path, folder: Path, trees: Mapping[str, Path], options: argparse.Namespace
) -> Iterator[Job]:
    """Lists of at most `options.each` instances of a family, in the folder that bears its name."""
    with (family / "instances.csv").open(newline="") as source:
        every = [row for row in csv.DictReader(source) if options.all or row["expected"] in SOLVED]
    every = every[: options.first]
    count = -(-len(every) // options.each)
    (folder / family.name).mkdir(exist_ok=True)
    for place in range(count):
        file, known = folder / family.name / f"{place}.csv", {}
        with file.open("w", newline="") as out:
            lines = csv.writer(out)
            lines.writerow(["onnx", "vnnlib", "timeout", "expected"])
            for row in every[place::count]:
                onnx, prop = (str((family / row[key]).resolve()) for key in ("onnx", "vnnlib"))
                known[onnx, prop] = row
                lines.writerow([onnx, prop, options.timeout, row["expected"]])
        order = [*trees.items()] if place % 2 == 0 else [*trees.items()][::-1]
        yield Job(file, known, dict(order))


def run(job: Job, gpus: SimpleQueue[str], ends: float, options: argparse.Namespace) -> list[Line]:
    """Return a line for each instance and tree; those that were done, if time ends before."""
    gpu, found = gpus.get(), []
    try:
        for name, tree in job.trees.items():
            out = job.file.with_suffix(f".{name}")
            left = ends - time.monotonic()
            if left <= 0:
                break
            command = [sys.executable, "-m", "boundmesh", "bench", str(job.file), "--out", str(out)]
            command += ["--json-dir", f"{out}.json", "--limit", str(left)]
            command += ["--device", options.device, "--rounding", options.rounding]
            where = {"CUDA_VISIBLE_DEVICES": gpu, "PYTHONPATH": str(tree)}
            done = subprocess.run(
                command, capture_output=True, text=True, cwd=tree, env={**os.environ, **where}
            )
            if not out.exists():
                print(f"{name}: {done.stderr[-1000:]}", file=sys.stderr, flush=True)
                continue
            found += [*lines_of(job, name, out)]
    finally:
        gpus.put(gpu)
    return found


def lines_of(job: Job, tree: str, out: Path) -> Iterator[Line]:
    """Make the lines of one run from its results and from the JSON of each instance."""
    stages = {}
    for file in Path(f"{out}.json").glob("*/*.json"):
        content = json.loads(file.read_text())
        stages[content["network"], content["property"]] = content["seconds"]
    for record in read_records(out):
        row = job.known[record.onnx, record.vnnlib]
        rival = row.get("abcrown_seconds")
        yield {
            "tree": tree,
            "family": record.family,
            "onnx": row["onnx"],
            "vnnlib": row["vnnlib"],
            "expected": record.expected,
            "verdict": record.verdict,
            "seconds": record.seconds,
            "stages": stages.get((record.onnx, record.vnnlib), {}),
            "decided_by": record.stage,
            "bound": record.bound,
            "peak_mib": record.peak_mib,
            "abcrown_seconds": float(rival) if rival else None,
            "device": record.device,
            "reason": record.reason,
        }


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("families", type=Path, nargs="+", metavar="FOLDER")
    options.add_argument(
        "--trees",
        nargs="+",
        default=[],
        metavar="NAME=FOLDER",
        help="checkouts whose boundmesh runs; by default that of this file, as `now`",
    )
    options.add_argument("--timeout", type=float, default=60, help="seconds for each instance")
    options.add_argument("--processes", type=int, default=2, help="lists at a time")
    options.add_argument("--each", type=int, default=8, help="instances of a list")
    options.add_argument("--first", type=int, help="so many instances of each family")
    options.add_argument("--limit", type=float, default=1e9, help="seconds for everything")
    options.add_argument("--all", action="store_true", help="those of unknown verdict, too")
    options.add_argument("--device", default="auto")
    options.add_argument("--rounding", default="auto")
    options.add_argument("--out", type=Path, default=Path("families.jsonl"))
    main(options.parse_args())
