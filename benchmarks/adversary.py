"""Random networks and operator forms against boundmesh, judged in exact and reordered arithmetic.

    python benchmarks/adversary.py --networks 2000 --bounded 200 --forms 3000 --seed 0 \\
        --rounding real+float32 --processes 8

Prints each fault as it is found, then counts as one JSON line; the exit code is 1 where a verdict
is wrong or a bound does not hold. Without `--rounding trust`, nothing is tolerated.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

from boundmesh.errors import BoundmeshError
from boundmesh.operators import RULES
from tests.adversary.containment import DTYPES, METHODS, leaks
from tests.adversary.generate import generate
from tests.adversary.operator_forms import FORMS, form_leaks
from tests.adversary.options import SEMANTICS
from tests.adversary.verdicts import judged

Task = tuple[str, int, str, float]
Found = tuple[str, list[str], list[str]]


def network(seed: int, mode: str, timeout: float) -> Found:
    """The verdict of one network: what to count, and faults and remarks in words."""
    with tempfile.TemporaryDirectory() as folder:
        each = judged(generate(seed), Path(folder), mode, timeout)
    remarks = [f"network {seed}: {each.word}: {each.message}"] if each.message else []
    faults = [f"network {seed}: {each.fault} {each.message}"] if each.fault else []
    key = f"wrong {each.word} ({each.fault.semantics.split()[0]})" if each.fault else each.word
    return key, faults, [] if faults else remarks


def bounded(seed: int, mode: str, timeout: float) -> Found:
    """The bounds of one network, by every method in every type."""
    instance = generate(seed)
    faults: list[str] = []
    remarks: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for method in METHODS:
            for dtype in DTYPES:
                try:
                    faults += map(str, leaks(instance, Path(folder), method, dtype, mode))
                except BoundmeshError as error:
                    remarks.append(f"bounds of network {seed}, {method}: {error}")
    return "leaking" if faults else "refused" if remarks else "holding", faults, remarks


def form(number: int, mode: str, timeout: float) -> Found:
    """The bounds of one operator form, by every method in every type."""
    names = [op for op in FORMS if op in RULES]
    seed, op = number // len(names), names[number % len(names)]
    try:
        faults = [str(each) for each in form_leaks(seed, op, METHODS, DTYPES, mode)]
    except BoundmeshError as error:
        return "refused", [], [f"{op} {seed}: {error}"]
    return "leaking" if faults else "holding", faults, []


KINDS = {"networks": network, "bounded": bounded, "forms": form}


def run(task: Task) -> tuple[str, str, list[str], list[str]]:
    kind, seed, mode, timeout = task
    warnings.simplefilter("ignore")
    return kind, *KINDS[kind](seed, mode, timeout)


def main(options: argparse.Namespace) -> int:
    tasks: list[Task] = [
        (kind, options.seed + number, options.rounding, options.timeout)
        for kind in KINDS
        for number in range(getattr(options, kind))
    ]
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    begun, faults = time.perf_counter(), 0
    for kind, key, wrong, remarks in done(tasks, options.processes):
        counts[kind][key] += 1
        faults += len(wrong)
        for line in wrong:
            print(f"FAULT {kind}: {line}", flush=True)
        for line in remarks if options.verbose else ():
            print(line, flush=True)
    facts: dict[str, object] = {kind: dict(found) for kind, found in counts.items() if found}
    facts |= {"faults": faults, "rounding": options.rounding, "seed": options.seed}
    facts["seconds"] = round(time.perf_counter() - begun, 1)
    print(json.dumps(facts), flush=True)
    return int(faults > 0)


def done(tasks: list[Task], processes: int) -> Iterator[tuple[str, str, list[str], list[str]]]:
    if processes == 1:
        yield from map(run, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(run, tasks, chunksize=4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=2000, help="verdicts to be judged")
    parser.add_argument("--bounded", type=int, default=200, help="networks to be bounded")
    parser.add_argument("--forms", type=int, default=3000, help="operator forms to be bounded")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounding", choices=SEMANTICS, default="real+float32")
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds for a verdict")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="print refusals and defects, too")
    sys.exit(main(parser.parse_args()))
