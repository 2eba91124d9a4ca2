"""The JSON lines of measurements as a table, each mode beside one device.

python benchmarks/table.py mesh.jsonl
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

Line = Mapping[str, object]

WHAT = ("benchmark", "method", "hidden", "depth", "iterations", "inputs")
MODE = ("schedule", "shards", "offload", "wave")
MEASURED = ("milliseconds", "peak_mib", "nccl_ms", "sum")


def table(lines: Sequence[Line]) -> str:
    """Peak and time of the worst rank, their share of one device's, and whether bits are equal."""
    rows = [["what", "mode", "ms", "MiB", "NCCL ms", "sum", "time", "peak", "bits"]]
    measured = sorted((line for line in lines if "milliseconds" in line), key=_order)
    alone = {_what(line): line for line in measured if _mode(line) == "one"}
    for line in measured:
        one = alone.get(_what(line))
        values = [f"{line[key]:.10g}" if key in line else "" for key in MEASURED]
        rows.append([_what(line), _mode(line), *values, *_beside(line, one)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    others = [json.dumps(line) for line in lines if "milliseconds" not in line]
    return "\n".join([*shown, *others])


def _beside(line: Line, one: Line | None) -> list[str]:
    if one is None or one is line:
        return ["", "", ""]
    shares = [number(line, key) / number(one, key) for key in ("milliseconds", "peak_mib")]
    off = abs(number(line, "sum") / number(one, "sum") - 1)
    equal = "equal" if line["sha256"] == one["sha256"] else f"sum off by {off:.0e}"
    return [f"{share:.0%}" for share in shares] + [equal]


def number(line: Line, key: str) -> float:
    return float(str(line[key]))


def _what(line: Line) -> str:
    return " ".join(str(line[key]) for key in WHAT if key in line)


def _mode(line: Line) -> str:
    name = str(line["schedule"]) if line["shards"] == 1 else f"{line['schedule']} {line['shards']}"
    if line["offload"] != "none":
        name += " offload"
    return name if line["wave"] == 1 else f"{name} wave {line['wave']}"


def _order(line: Line) -> tuple[str, int, str]:
    return _what(line), int(str(line["shards"])), _mode(line)


if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    print(table([json.loads(row) for row in text.splitlines() if row.startswith("{")]))
