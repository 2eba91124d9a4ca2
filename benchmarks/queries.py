"""Answers many random queries of VNN-LIB 2.0 and judges every answer in exact numbers.

    python benchmarks/queries.py --first 0 --count 1000 --timeout 2

Every third query has inputs of a whole type. Of each query three invalid ones are made, with one
fault each. Prints each query that is refused or answered wrongly, each invalid one that is
accepted, and how many of each kind there are.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from boundmesh.errors import BoundmeshError
from tests.queries.generate import Generator
from tests.queries.judge import joined, judged
from tests.queries.mutate import INVALID

WHOLE = ("int8", "int16", "int32", "int64")
FAULTS = 3
"""So many faults are tried in each query."""


def main() -> int:
    """Judge the queries; return 1 if one was refused or answered wrongly."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--timeout", type=float, default=2.0)
    options = parser.parse_args()
    met: Counter[str] = Counter()
    for seed in range(options.first, options.first + options.count):
        question = Generator(seed, WHOLE[seed // 3 % 4] if seed % 3 == 2 else "").question()
        word, reason = judged(question, options.timeout)
        met[word] += 1
        if word in ("refused", "wrong"):
            print(f"seed {seed}: {word}: {reason}\n{question.text}", flush=True)
        rng = random.Random(seed)
        for fault in rng.sample(list(INVALID), FAULTS):
            text = INVALID[fault](question.text, rng)
            if text == question.text:
                continue
            met["invalid"] += 1
            try:
                joined(question, text)
            except BoundmeshError:
                continue
            met["accepted"] += 1
            print(f"seed {seed}: accepted: {fault}\n{text}", flush=True)
    print(dict(met))
    return 1 if met["refused"] or met["wrong"] or met["accepted"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
