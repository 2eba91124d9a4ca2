"""The result of `certify`: a verdict for every input, and what they come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from boundmesh.certify.account import CERTIFIED, MISCLASSIFIED, UNKNOWN, WORDS
from boundmesh.errors import BoundmeshError
from boundmesh.graph.graph import Graph
from boundmesh.ranges import shown
from boundmesh.runtime.history import History
from boundmesh.settings import Settings

TIMEOUT, INTERRUPTED = "timeout", "interrupted"
"""The reasons why a run ends early."""


@dataclass(frozen=True, eq=False)
class Certified:
    """The verdict of one input, and how it was reached.

    index           the number of the input, from 0
    label           the class that it must keep
    predicted       the class that the network gives it
    verdict         certified, falsified, misclassified or unknown
    margins         `[classes]`, float64: a lower bound, over all changes of the input, of how far
                    the label's score is above that of each class; ∞ for the label itself, −∞ where
                    no bound was computed
    counterexample  a changed input with another class, in the input's shape; None if none is known
    output          the scores that ONNX Runtime computes for it; None if none is known
    reason          why there is no decision; empty where there is one
    stage           the stage that decided; empty if none did
    seconds         the seconds that the input took
    certified_eps   the largest radius that is certified; −1 if not even 0 is
    falsified_eps   the smallest radius with a known counterexample; ∞ if none is known
    """

    index: int
    label: int
    predicted: int
    verdict: str
    margins: np.ndarray
    counterexample: np.ndarray | None
    output: np.ndarray | None
    reason: str
    stage: str
    seconds: float
    certified_eps: float
    falsified_eps: float

    @property
    def proved(self) -> bool:
        """True if the input is certified."""
        return self.verdict == CERTIFIED

    @property
    def margin(self) -> float:
        """The smallest margin, of the class that comes nearest."""
        return float(self.margins.min())

    def __repr__(self) -> str:
        return f"Certified(input {self.index}, label {self.label}: {self.verdict})"


@dataclass(frozen=True, eq=False)
class Certification:
    """The verdicts of N inputs: `result[i]` is that of input i.

    inputs         a Certified for every input, in the order of the inputs
    eps            the radius, or the largest one that was tried
    norm           1, 2 or ∞
    labelled       True if labels were given, and False if the network's own predictions are kept
    largest        True if the largest certified radius of each input was wanted
    seconds        the seconds of each stage, by its name
    total_seconds  the seconds of the whole run
    peak_bytes     the peak of memory on the device, in bytes
    interrupted    why the run ended early: `timeout` or `interrupted`; empty otherwise
    graph          the network as it was read
    points         `[N, *input_shape]`, float64: the inputs before any change
    clip           the range to which changed inputs are cut; None if they are not cut
    history        what happened and when: stages, facts, memory, warnings
    settings       the settings of the run
    device         the name of the device
    """

    inputs: tuple[Certified, ...]
    eps: float | Fraction
    norm: float
    labelled: bool
    largest: bool
    seconds: Mapping[str, float]
    total_seconds: float
    peak_bytes: int
    interrupted: str
    graph: Graph
    points: np.ndarray
    clip: tuple[float, float] | None
    history: History
    settings: Settings
    device: str

    def report(self, path: str | Path) -> None:
        """Write a page for people to an HTML file, as `boundmesh.report(result, path)` does."""
        # The room that writes pages imports this one.
        import boundmesh

        boundmesh.report(self, path)

    def __len__(self) -> int:
        return len(self.inputs)

    def __iter__(self) -> Iterator[Certified]:
        return iter(self.inputs)

    def __getitem__(self, index: int) -> Certified:
        return self.inputs[index]

    def count(self, verdict: str) -> int:
        """Return how many inputs have a verdict: certified, falsified, misclassified or unknown.

        Raises BoundmeshError for another word.
        """
        if verdict not in WORDS:
            raise BoundmeshError(f"verdict is {shown(verdict)}; expected {' '.join(WORDS)}")
        return sum(certified.verdict == verdict for certified in self.inputs)

    @property
    def counts(self) -> dict[str, int]:
        """The number of inputs with each verdict."""
        return {word: self.count(word) for word in WORDS}

    @property
    def clean_accuracy(self) -> float:
        """The share of inputs that the network gives their label, before any change."""
        return 1 - self.count(MISCLASSIFIED) / len(self)

    @property
    def certified_accuracy(self) -> float:
        """The share of inputs that keep their label under every change, proved."""
        return self.count(CERTIFIED) / len(self)

    @property
    def robust_accuracy_at_most(self) -> float:
        """The share of inputs without a known counterexample: certified and unknown ones."""
        return (self.count(CERTIFIED) + self.count(UNKNOWN)) / len(self)

    @property
    def verdicts(self) -> np.ndarray:
        """The verdicts, an array of words `[N]`."""
        return np.array([certified.verdict for certified in self.inputs])

    @property
    def proved(self) -> np.ndarray:
        """An array of bools `[N]`: True where the input is certified."""
        return np.array([certified.proved for certified in self.inputs])

    @property
    def labels(self) -> np.ndarray:
        """The classes that inputs must keep, whole numbers `[N]`."""
        return np.array([certified.label for certified in self.inputs])

    @property
    def predicted(self) -> np.ndarray:
        """The classes that the network gives the inputs, whole numbers `[N]`."""
        return np.array([certified.predicted for certified in self.inputs])

    @property
    def margins(self) -> np.ndarray:
        """The margins of all inputs, float64 `[N, classes]`."""
        return np.stack([certified.margins for certified in self.inputs])

    @property
    def counterexamples(self) -> Mapping[int, np.ndarray]:
        """The known counterexamples, in the input's shape, by the input's index."""
        known = ((certified.index, certified.counterexample) for certified in self.inputs)
        return {index: point for index, point in known if point is not None}

    @property
    def certified_eps(self) -> np.ndarray:
        """The largest certified radius of every input, float64 `[N]`; −1 where none is."""
        return np.array([certified.certified_eps for certified in self.inputs])

    @property
    def falsified_eps(self) -> np.ndarray:
        """The smallest radius with a known counterexample, float64 `[N]`; ∞ where none is."""
        return np.array([certified.falsified_eps for certified in self.inputs])

    def __repr__(self) -> str:
        parts = [f"{self.count(word)} {word}" for word in WORDS if self.count(word)]
        ends = f", ended early: {self.interrupted}" if self.interrupted else ""
        return (
            f"Certification({len(self)} inputs, eps {float(self.eps):.6g}: {', '.join(parts)}; "
            f"{self.total_seconds:.1f} s{ends})"
        )
