"""Random forms of every operator without end, from the seed that is given: `make fuzz SEED=1000`.

A form that is wrong is printed with its seed, its network is left in the folder for temporary
files, and the exit code is 1.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.operators.form import GENERATORS, form_of, network
from tests.operators.judge import judge


def main(first: int) -> int:
    counts: Counter[str] = Counter()
    for seed in itertools.count(first):
        for op in GENERATORS:
            form = form_of(op, seed)
            judged = judge(form)
            counts[judged.verdict] += 1
            if judged.verdict == "wrong":
                path = Path(tempfile.gettempdir()) / f"{op}-{seed}.onnx"
                path.write_bytes(network(form))
                print(f"seed {seed}: {form}\n{judged.words}\nnetwork: {path}")
                return 1
        if seed % 20 == 0:
            print(f"seed {seed}: {dict(counts)}", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
    except KeyboardInterrupt:
        sys.exit(130)
