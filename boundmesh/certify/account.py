"""The account of a run: what is known of every input so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

import torch
from torch import Tensor

from boundmesh.certify.run import CertifyRun
from boundmesh.operators.interval import Interval
from boundmesh.proof.standing import unstable_counts
from boundmesh.verdict import Counterexample

CERTIFIED, FALSIFIED, MISCLASSIFIED, UNKNOWN = "certified", "falsified", "misclassified", "unknown"
WORDS = (CERTIFIED, FALSIFIED, MISCLASSIFIED, UNKNOWN)


@dataclass
class Account:
    """The verdicts and margins of all inputs so far.

    margins   `[N, classes]`, the best margin of every class; ∞ for the label itself
    words     the verdict of every input; `unknown` until there is another
    found     the counterexamples, by the input's index
    reasons   why inputs are not decided, by index
    stages    the stage that decided each input; empty for the others
    seconds   the seconds that each input took; those of a batch are divided evenly
    known     the best bounds of the start nodes, `[1, …]` each, by index and name
    unstable  the most unstable neurons of any batch, by start node
    """

    margins: Tensor
    words: list[str]
    found: dict[int, Counterexample] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    known: dict[int, Mapping[str, Interval]] = field(default_factory=dict)
    unstable: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def of(run: CertifyRun) -> Account:
        """Make the account with which a run begins: no input has a verdict."""
        count = len(run.inputs)
        labels = torch.from_numpy(run.labels)[:, None]
        margins = torch.full((count, run.classes), -torch.inf, dtype=torch.float64)
        margins.scatter_(1, labels, torch.inf)
        return Account(margins, [UNKNOWN] * count, stages=[""] * count, seconds=[0.0] * count)

    @property
    def open(self) -> list[int]:
        """The indices of the inputs that are not decided."""
        return [index for index, word in enumerate(self.words) if word == UNKNOWN]

    def count(self, word: str) -> int:
        """Return how many inputs have a verdict."""
        return self.words.count(word)

    def falsify(self, found: Mapping[int, Counterexample], stage: str) -> None:
        """Enter counterexamples, by index."""
        for index, counterexample in found.items():
            self.found[index] = counterexample
            self._decide(index, FALSIFIED, stage)

    def certify(self, indices: Sequence[int], stage: str) -> None:
        """Enter that all inputs among `indices` are certified whose margins are all above zero."""
        proved = (self.margins[list(indices)] > 0).all(1)
        for index, certain in zip(indices, proved.tolist(), strict=True):
            if certain:
                self._decide(index, CERTIFIED, stage)

    def misclassify(self, index: int, found: Counterexample) -> None:
        """Enter that an input itself has another class than its label."""
        self.found[index] = found
        self._decide(index, MISCLASSIFIED, "clean")

    def survey(self, run: CertifyRun, bounds: Mapping[str, Interval]) -> None:
        """Count the unstable neurons of a batch, given bounds of its start nodes."""
        for start, (some, _) in unstable_counts(bounds, run.program).items():
            self.unstable[start] = max(self.unstable.get(start, 0), some)

    def keep(self, indices: Sequence[int], bounds: Mapping[str, Interval]) -> None:
        """Keep the bounds `[D, …]` of the start nodes of those inputs that are still open."""
        for row, index in enumerate(indices):
            if self.words[index] == UNKNOWN:
                row_slice = slice(row, row + 1)
                self.known[index] = {
                    name: Interval(box.lower[row_slice].clone(), box.upper[row_slice].clone())
                    for name, box in bounds.items()
                }

    @contextmanager
    def timed(self, indices: Sequence[int]) -> Iterator[None]:
        """Divide the seconds of the context among inputs."""
        began = monotonic()
        try:
            yield
        finally:
            share = (monotonic() - began) / max(1, len(indices))
            for index in indices:
                self.seconds[index] += share

    def _decide(self, index: int, word: str, stage: str) -> None:
        self.words[index], self.stages[index] = word, stage
        self.reasons.pop(index, None)
        self.known.pop(index, None)
