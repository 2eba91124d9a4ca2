"""Fuzz the readers, the command line and the Python API, for as long as wanted.

    python benchmarks/fuzz.py --calls 100000 --seed 0
    python benchmarks/fuzz.py --kind network --seed 17 --calls 1      # what a report names, again

Each call has a seed of its own, that of the run plus its number. What raises anything but a
BoundmeshError, takes longer than a minute, or ends the process, is printed with what reproduces it;
the exit code is then 1. What the calls are is in tests/fuzzed.py.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import mmap
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

# Loaded once, before there are child processes.
import boundmesh.api  # noqa: F401
from tests.fuzzed import KINDS

# How many of a hundred calls are of a kind: the readers are fast, and have the most to read.
SHARES = {"property": 50, "network": 30, "command": 10, "python": 10}
LONGEST = 60
# Calls of one child process: what ends it costs no more.
TOGETHER = 2000


class TooLong(BaseException):
    """A call takes longer than LONGEST seconds."""


def too_long(number: int, frame: object) -> None:
    """Raise TooLong where the call is."""
    raise TooLong


def options() -> argparse.Namespace:
    """What the command line says."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, help="only calls of this kind")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    return parser.parse_args()


def where(error: BaseException) -> str:
    """The place in the code that raised an error, which tells defects apart."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "boundmesh" in frame.filename]
    last = (own or frames)[-1]
    return f"{type(error).__name__} at {last.filename}:{last.lineno}"


def again(kind: str, seed: int) -> str:
    """The command that makes one call again."""
    return f"again: python benchmarks/fuzz.py --kind {kind} --seed {seed} --calls 1"


def kind_of(random: Random, asked: str | None) -> str:
    """The kind of a call: drawn, whatever is asked, so that a seed gives the same call."""
    drawn = random.choices([*SHARES], [*SHARES.values()])[0]
    return asked or drawn


def work(
    seeds: range, asked: str | None, folder: Path, known: set[str], place: mmap.mmap
) -> dict[str, Any]:
    """Make the calls of `seeds`, `place` saying which; counts and seconds by kind, and defects."""
    torch.set_num_threads(1)
    faulthandler.enable()
    signal.signal(signal.SIGALRM, too_long)
    done: Counter[str] = Counter()
    spent: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    defects: Counter[str] = Counter()
    for seed in seeds:
        place[:8] = seed.to_bytes(8)
        random = Random(seed)
        kind = kind_of(random, asked)
        at = time.perf_counter()
        signal.alarm(LONGEST)
        try:
            KINDS[kind](random, folder)
        except KeyboardInterrupt:
            break
        except BaseException as error:
            signal.alarm(0)
            defects[where(error)] += 1
            if where(error) not in known:
                known.add(where(error))
                traceback.print_exception(error, limit=-6)
                print(again(kind, seed), flush=True)
        signal.alarm(0)
        done[kind] += 1
        spent[kind] += time.perf_counter() - at
    return {"done": done, "spent": spent, "defects": defects}


def in_child(
    seeds: range, asked: str | None, folder: Path, known: set[str]
) -> tuple[dict[str, Any], int]:
    """`work` in a process of its own, and the seed after the last one that was tried."""
    place, said = mmap.mmap(-1, 8), folder.parent / f"{folder.name}.json"
    child = os.fork()
    if not child:
        found = work(seeds, asked, folder, known, place)
        said.write_text(json.dumps(found))
        sys.stdout.flush()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not status:
        found = json.loads(said.read_text())
        said.unlink()
        return found, seeds.stop
    seed = int.from_bytes(place[:8])
    kind = kind_of(Random(seed), asked)
    print(f"the process ended with status {status}", again(kind, seed), sep="\n", flush=True)
    tried = {"done": {"in a process that ended": seed - seeds.start + 1}}
    return {**tried, "spent": {}, "defects": {f"status {status} ({kind})": 1}}, seed + 1


def main() -> int:
    """Run all calls; the exit code."""
    asked = options()
    sums: dict[str, Counter[str]] = {name: Counter() for name in ("done", "spent", "defects")}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name) / "files"
        folder.mkdir()
        first, end = asked.seed, asked.seed + asked.calls
        while first < end and time.perf_counter() - began < asked.seconds:
            seeds = range(first, min(first + TOGETHER, end))
            found, first = in_child(seeds, asked.kind, folder, set(sums["defects"]))
            for part, counts in found.items():
                sums[part].update(counts)
    done, spent, defects = sums["done"], sums["spent"], sums["defects"]
    for kind, count in done.items():
        print(f"{kind:10} {count:8} calls {spent[kind]:8.1f} s")
    print(f"{done.total()} calls in {time.perf_counter() - began:.1f} s, {defects.total()} defects")
    for where_it_is, count in defects.most_common():
        print(f"{count:6}  {where_it_is}")
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
