"""Answers many random queries of VNN-LIB 2.0 and judges every answer in exact numbers.

    python benchmarks/queries.py --first 0 --count 1000 --timeout 2

Prints each query that is refused or answered wrongly, and how many of each kind there are.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.queries.generate import Generator
from tests.queries.judge import judged


def main() -> int:
    """Judge the queries; return 1 if one was refused or answered wrongly."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--timeout", type=float, default=2.0)
    options = parser.parse_args()
    met: Counter[str] = Counter()
    for seed in range(options.first, options.first + options.count):
        question = Generator(seed).question()
        word, reason = judged(question, options.timeout)
        met[word] += 1
        if word in ("refused", "wrong"):
            print(f"seed {seed}: {word}: {reason}\n{question.text}", flush=True)
    print(dict(met))
    return 1 if met["refused"] or met["wrong"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
