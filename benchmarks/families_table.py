"""Tables of what `families.py` found: of one tree, or of two beside each other.

    python benchmarks/families_table.py families.jsonl
    python benchmarks/families_table.py before.jsonl after.jsonl

With several files, each is a tree of the file's name. The first table has a line for each family
and tree: instances, solved, wrong, errors, median and longest time of the solved, and on how many
of the solved α,β-CROWN took longer. The second has the seconds of each stage, summed over the
instances that every tree solved. Then come the instances whose verdicts differ, those that became
slower by more than a tenth and SLACK seconds, and those that the last tree left open.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

Line = Mapping[str, Any]
Key = tuple[str, str, str]

SOLVED = ("unsat", "sat")
SLACK = 0.3
"""Seconds that two runs of the same work may differ by."""


def tables(lines: Sequence[Line]) -> str:
    trees = list(dict.fromkeys(str(line["tree"]) for line in lines))
    families = list(dict.fromkeys(str(line["family"]) for line in lines))
    runs = {
        tree: {key_of(line): line for line in lines if line["tree"] == tree}
        for tree in sorted(trees, key=order_of(trees))
    }
    parts = [table([*summaries(runs, families)]), table([*stages(runs, families)])]
    if len(runs) > 1:
        old, new = next(iter(runs.values())), [*runs.values()][-1]
        parts += [listed("other verdicts", differing(old, new)), listed("slower", slower(old, new))]
    return "\n\n".join([*filter(None, parts), listed("open", still_open([*runs.values()][-1]))])


def order_of(trees: Sequence[str]) -> Any:
    """The order of names: `before` first, `after` last, others as they came."""
    named = {"before": -1, "after": len(trees)}
    return lambda tree: named.get(tree, trees.index(tree))


def key_of(line: Line) -> Key:
    return str(line["family"]), str(line["onnx"]), str(line["vnnlib"])


def solved(line: Line) -> bool:
    return line["verdict"] in SOLVED and not wrong(line)


def wrong(line: Line) -> bool:
    return {line["verdict"], line["expected"]} == set(SOLVED)


def summaries(
    runs: Mapping[str, Mapping[Key, Line]], families: Sequence[str]
) -> Iterator[list[str]]:
    yield ["family", "tree", "run", "solved", "wrong", "errors", "median s", "longest s", "faster"]
    for family in families:
        for tree, run in runs.items():
            mine = [line for line in run.values() if line["family"] == family]
            times = [line["seconds"] for line in mine if solved(line)]
            rivals = [
                line["abcrown_seconds"] > line["seconds"]
                for line in mine
                if solved(line) and line.get("abcrown_seconds") is not None
            ]
            counts = [len(mine), len(times), sum(map(wrong, mine))]
            counts.append(sum(line["verdict"] == "error" for line in mine))
            ends = [f"{median(times):.2f}", f"{max(times):.2f}"] if times else ["–", "–"]
            faster = f"{sum(rivals)} of {len(rivals)}" if rivals else "–"
            yield [family, tree, *map(str, counts), *ends, faster]


def stages(runs: Mapping[str, Mapping[Key, Line]], families: Sequence[str]) -> Iterator[list[str]]:
    """The seconds of each stage, over the instances that all trees solved."""
    names = list(
        dict.fromkeys(n for run in runs.values() for line in run.values() for n in line["stages"])
    )
    names = [name for name in names if name != "total"]
    yield ["family", "tree", "solved by all", *names, "total"]
    for family in families:
        common = [
            key
            for key in next(iter(runs.values()))
            if key[0] == family and all(key in run and solved(run[key]) for run in runs.values())
        ]
        for tree, run in runs.items():
            sums = [sum(run[key]["stages"].get(name, 0.0) for key in common) for name in names]
            total = sum(run[key]["seconds"] for key in common)
            cells = [f"{each:.2f}" if each else "" for each in (*sums, total)]
            yield [family, tree, str(len(common)), *cells]


def differing(old: Mapping[Key, Line], new: Mapping[Key, Line]) -> Iterator[str]:
    for key in old:
        if key in new and old[key]["verdict"] != new[key]["verdict"]:
            yield f"{name_of(key)}: {outcome(old[key])} → {outcome(new[key])}"


def slower(old: Mapping[Key, Line], new: Mapping[Key, Line]) -> Iterator[str]:
    """Instances that both solved, slower now; the stage that grew most stands behind."""
    for key in old:
        if key not in new or not (solved(old[key]) and solved(new[key])):
            continue
        was, now = old[key], new[key]
        if now["seconds"] > 1.1 * was["seconds"] + SLACK:
            grown = {
                stage: seconds - was["stages"].get(stage, 0.0)
                for stage, seconds in now["stages"].items()
                if stage != "total"
            }
            most = max(grown, key=lambda stage: grown[stage], default="")
            more = f"; {most} {grown[most]:+.2f} s" if most else ""
            yield f"{name_of(key)}: {outcome(was)} → {outcome(now)}{more}"


def still_open(run: Mapping[Key, Line]) -> Iterator[str]:
    for key, line in run.items():
        if not solved(line):
            known = f", known to be {line['expected']}" if line["expected"] in SOLVED else ""
            bound = "" if line["bound"] is None else f", margin {line['bound']:.4g}"
            yield f"{name_of(key)}: {outcome(line)}{bound}{known}  {line['reason']}".rstrip()


def name_of(key: Key) -> str:
    files = (Path(part).name.removesuffix(".gz") for part in key[1:])
    return " ".join([key[0], *(Path(file).stem for file in files)])


def outcome(line: Line) -> str:
    word = f"WRONG {line['verdict']}" if wrong(line) else str(line["verdict"])
    return f"{word} {line['seconds']:.2f} s ({line['decided_by']})"


def listed(title: str, lines: Iterator[str]) -> str:
    found = [f"  {line}" for line in lines]
    return "\n".join([f"{title}: {len(found)}", *found])


def table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def read(files: Sequence[Path]) -> list[Line]:
    """Read the lines of files; with several files the file's name stands for the tree."""
    found: list[Line] = []
    for file in files:
        lines = [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()]
        found += [{**line, "tree": file.stem} for line in lines] if len(files) > 1 else lines
    return found


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("files", type=Path, nargs="+", metavar="FILE.jsonl")
    print(tables(read(options.parse_args().files)))
