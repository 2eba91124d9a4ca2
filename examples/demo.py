"""Proves one property of a small network and refutes another: `make demo`.

Standard output carries the two verdicts; the words and the pictures go to standard error.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits"
NETWORK = DIGITS / "conv.onnx"
BOUNDMESH = Path(sys.executable).parent / "boundmesh"
SHADES = " ░▒▓█"


def say(text: str = "") -> None:
    print(text, file=sys.stderr, flush=True)


def verify(spec: Path) -> list[str]:
    """Run `boundmesh verify` as a user would; the lines of its standard output."""
    words = ["verify", spec.relative_to(ROOT), "--network", NETWORK.relative_to(ROOT)]
    say(f"$ boundmesh {' '.join(map(str, words))}")
    run = subprocess.run(
        [str(BOUNDMESH), *map(str, words)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    if run.returncode:
        sys.exit(run.returncode)
    lines: list[str] = run.stdout.splitlines()
    print(lines[0], flush=True)
    return lines


def values(lines: list[str], name: str, count: int) -> np.ndarray:
    """The elements of one tensor of an assignment: they follow the line that declares it."""
    (start,) = (place for place, line in enumerate(lines) if line.startswith(f"{name} "))
    return np.array([float(line) for line in lines[start + 1 : start + 1 + count]])


def picture(image: np.ndarray) -> list[str]:
    """An 8×8 image in [0, 1] as eight lines of text, two characters a pixel."""
    steps = np.rint(image.reshape(8, 8) * (len(SHADES) - 1)).astype(int)
    return ["".join(SHADES[step] * 2 for step in row) for row in steps]


def main() -> None:
    image = np.load(DIGITS / "image.npy")
    say("The network reads handwritten digits of 8×8 pixels. It was not trained on this one:")
    say()
    for line in picture(image):
        say(f"    {line}")
    say()
    say("1. Does every image near it, each pixel moved by at most a little, keep its digit?")
    verify(DIGITS / "near.vnnlib")
    say()
    say("2. And if every pixel may move further?")
    lines = verify(DIGITS / "far.vnnlib")
    found, scores = values(lines, "X", 64), values(lines, "Y", 10)
    say()
    say(f"    {'the image':16}    read as {scores.argmax()}")
    for before, after in zip(picture(image), picture(found), strict=True):
        say(f"    {before}    {after}")
    moved = np.abs(found - image.ravel()).max()
    say(f"    No pixel moved by more than {moved:.2f}.")


if __name__ == "__main__":
    main()
