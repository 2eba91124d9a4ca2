"""Decides queries of several networks and of products by the command, and prints a table.

    python benchmarks/forms.py ../shared/cases/forms --timeout 100

The folder has the queries `acc_N` about `networks/acc.onnx`, and `monotonic_N` and `isomorphic_N`
about networks of ACAS Xu and their pruned copies. Each runs in a process of its own, start
included. The table has the verdict, and seconds of wall clock and of CPU.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

NETWORKS: dict[str, tuple[str, ...]] = {
    "acc_0": ("acc",),
    "acc_5": ("acc",),
    "acc_25": ("acc",),
    "acc_44": ("acc",),
    "monotonic_0": ("f=ACASXU_run2a_1_1_batch_2000",),
    "monotonic_1": ("f=ACASXU_run2a_3_4_batch_2000",),
    "monotonic_2": ("f=ACASXU_run2a_2_2_batch_2000",),
    "isomorphic_0": ("f=ACASXU_run2a_1_1_batch_2000", "g=ACASXU_run2a_1_1_batch_2000_pruned30"),
    "isomorphic_1": ("f=ACASXU_run2a_3_4_batch_2000", "g=ACASXU_run2a_3_4_batch_2000_pruned5"),
    "isomorphic_2": ("f=ACASXU_run2a_2_2_batch_2000", "g=ACASXU_run2a_2_2_batch_2000_pruned30"),
}


def main() -> None:
    """Run all queries, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--timeout", type=float, default=100.0)
    parser.add_argument("--only", nargs="*", default=list(NETWORKS))
    parser.add_argument("--rounding", default="auto")
    options = parser.parse_args()
    print("| query | verdict | wall s | CPU s |\n|---|---|---|---|", flush=True)
    for name in options.only:
        command = [sys.executable, "-m", "boundmesh", "verify", options.folder / f"{name}.vnnlib"]
        for network in NETWORKS[name]:
            head, sign, file = network.rpartition("=")
            path = options.folder / "networks" / f"{file}.onnx"
            command += ["--network", f"{head}{sign}{path}"]
        command += ["--timeout", f"{options.timeout:g}", "--rounding", options.rounding, "-q"]
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        verdict = (done.stdout.split() or ["error"])[0]
        print(f"| {name} | {verdict} | {wall:.1f} | {spent:.1f} |", flush=True)


if __name__ == "__main__":
    main()
