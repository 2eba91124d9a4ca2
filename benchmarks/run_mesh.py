"""All measurements of the mesh that one machine allows, within a time limit, and a table last.

    python benchmarks/run_mesh.py --shards 1,2 --limit 420 --out mesh.jsonl

Each mode is a process of its own. Groups of modes run in the order of their importance, the modes
of a group in random order; what the limit leaves out is named.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from table import table

HERE = Path(__file__).parent
GROUPS = ("bits", "crown", "waves", "limit", "alpha", "wide", "offload", "scaling")
LARGE = ((4096, 4), (8192, 4), (4096, 8))
WIDE = (131072, 262144)


def groups(shards: list[int], schedules: list[str]) -> Iterator[tuple[str, list[list[str]]]]:
    """Names of groups, and the command of each mode."""
    modes = [["--shards", "1"]] if 1 in shards else []
    modes += [
        ["--shards", str(count), "--schedule", schedule]
        for count in shards
        if count > 1
        for schedule in schedules
    ]
    several = [str(count) for count in shards if count > 1]
    yield "bits", [["mesh_bits.py", "--shards", count] for count in several]
    sizes = [["--hidden", str(hidden), "--depth", str(depth)] for hidden, depth in LARGE]
    yield "crown", [["crown_mlp.py", *size, *mode] for size in sizes for mode in modes]
    waves = [[*mode, "--wave", "2"] for mode in modes if "gather" in mode]
    yield "waves", [["crown_mlp.py", *size, *wave] for size in sizes for wave in waves]
    # More than one GPU of so little memory would hold: the weights alone are 793 MiB.
    small = ["--limit-mib", "700"]
    yield "limit", [["crown_mlp.py", *sizes[1], *mode, *small] for mode in modes]
    yield "alpha", [["alpha_mlp.py", *sizes[0], *mode] for mode in modes]
    wide = [mode for mode in modes if "gather" not in mode]
    yield "wide", [["wide_layer.py", "--hidden", str(h), *mode] for h in WIDE for mode in wide]
    offload = ["--shards", "1", "--offload", "weights", "--wave"]
    staged = [[*offload, wave] for wave in ("1", "2", "4")]
    yield "offload", [["crown_mlp.py", *sizes[0], *mode] for mode in staged]
    scaling = [["--hidden", "16384", "--depth", "4"]] if max(shards) > 2 else []
    yield "scaling", [["crown_mlp.py", *size, *mode] for size in scaling for mode in modes]


def main(options: argparse.Namespace) -> None:
    begun = time.monotonic()
    os.environ.setdefault("BOUNDMESH_BENCHMARK_STORE", store())
    chosen = options.groups.split(",") if options.groups else None
    order = random.Random(options.seed)
    lines, left_out = [], []
    shards = [int(count) for count in options.shards.split(",")]
    for name, commands in groups(shards, options.schedules.split(",")):
        if chosen is not None and name not in chosen:
            continue
        order.shuffle(commands)
        for command in commands:
            left = options.limit - (time.monotonic() - begun)
            if left < options.least:
                left_out.append(" ".join(command))
                continue
            found = run([*command, *options.extra.split()], min(left, options.patience))
            lines += found
            with options.out.open("a") as out:
                out.writelines(json.dumps(line) + "\n" for line in found)
    print(table(lines))
    for each in left_out:
        print(f"left out: {each}")
    print(f"{time.monotonic() - begun:.0f} s")


def run(command: list[str], seconds: float) -> list[dict[str, object]]:
    """The JSON lines that a mode prints; none, and what went wrong, where it fails."""
    begun = time.monotonic()
    name = " ".join(command)
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / command[0]), *command[1:]],
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        )
    except subprocess.TimeoutExpired:
        print(f"{name}: not done in {seconds:.0f} s", flush=True)
        return []
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    print(f"{name}: {time.monotonic() - begun:.1f} s", flush=True)
    if done.returncode or not lines:
        print(done.stdout[-1000:], done.stderr[-3000:], flush=True)
    return lines


def store() -> str:
    """Memory, where it can be had as a folder, else the folder for temporary files."""
    memory = Path("/dev/shm")
    return str(memory) if os.access(memory, os.W_OK) else "/tmp"


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--shards", default="1,2", help="numbers of ranks, 1 for one device")
    options.add_argument("--schedules", default="gather,exchange")
    options.add_argument("--groups", help=f"of {' '.join(GROUPS)}; all if left out")
    options.add_argument("--limit", type=float, default=420, help="seconds for everything")
    options.add_argument("--least", type=float, default=25, help="seconds left to begin a mode")
    options.add_argument("--patience", type=float, default=150, help="seconds for one mode")
    options.add_argument("--extra", default="", help="options for every mode")
    options.add_argument("--out", type=Path, default=Path("mesh.jsonl"))
    options.add_argument("--seed", type=int, default=0)
    main(options.parse_args())
