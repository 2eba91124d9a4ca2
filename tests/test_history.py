"""The record of a run: stages one after the other, facts with their times, in bounded memory."""

from __future__ import annotations

import numpy as np
import torch

import boundmesh
from boundmesh import Box, Property
from boundmesh.report.facts import of_margin
from boundmesh.runtime.history import MOST_READINGS, MemoryReading, Recorder
from boundmesh.runtime.progress import Fact
from boundmesh.verdict import POSITIVE


class Heard:
    """A Progress that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def stage(self, name: str, detail: str = "") -> None:
        self.heard.append((name, detail))

    def update(self, **facts: Fact) -> None:
        self.heard.append(facts)

    def warn(self, text: str) -> None:
        self.heard.append(text)


def test_a_recorder_passes_on_everything_it_keeps() -> None:
    heard = Heard()
    recorder = Recorder(heard)
    recorder.stage("crown", "9 rows")
    recorder.update(margin=-1.5, open=3)
    recorder.warn("the region is empty")
    assert heard.heard == [("crown", "9 rows"), {"margin": -1.5, "open": 3}, "the region is empty"]
    history = recorder.history()
    assert [(span.stage, span.detail) for span in history.spans] == [("crown", "9 rows")]
    assert [value for _, value in history.series("margin")] == [-1.5]
    assert history.warnings == ("the region is empty",)


def test_stages_follow_each_other_without_gaps() -> None:
    recorder = Recorder()
    for name in ("read", "attack", "attack", "crown"):
        recorder.stage(name)
    history = recorder.history()
    assert [span.stage for span in history.spans] == ["read", "attack", "attack", "crown"]
    for one, other in zip(history.spans, history.spans[1:], strict=False):
        assert one.begun <= one.ended == other.begun
    assert history.spans[-1].ended == history.seconds


def test_a_long_run_keeps_a_bounded_number_of_readings_over_its_whole_length() -> None:
    recorder = Recorder()
    recorder.stage("branch")
    last = 20 * MOST_READINGS
    for count in range(last + 1):
        recorder.update(visited=count)
    values = [value for _, value in recorder.history().series("visited")]
    assert MOST_READINGS / 4 < len(values) <= MOST_READINGS
    assert values[-1] == last
    assert values == sorted(values)
    # No stretch of the run is left out.
    assert max(np.diff(values)) < last / 100


def test_the_last_facts_of_every_stage_are_kept() -> None:
    recorder = Recorder()
    for stage in range(4):
        recorder.stage(f"stage {stage}")
        for step in range(MOST_READINGS + stage):
            recorder.update(step=step)
    history = recorder.history()
    seen = [reading.facts["step"] for reading in history.readings if reading.stage == "stage 3"]
    assert seen[-1] == MOST_READINGS + 2


def test_memory_is_measured_when_a_stage_begins_and_in_the_end() -> None:
    recorder = Recorder(measure=lambda: MemoryReading(5, 7))
    recorder.stage("crown")
    recorder.stage("attack")
    readings = recorder.history().readings
    assert [reading.memory for reading in readings] == [MemoryReading(5, 7)] * 3


def test_every_method_leaves_its_margins_and_they_never_fall() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(12, 24), torch.nn.ReLU(), torch.nn.Linear(24, 24), torch.nn.ReLU(),
        torch.nn.Linear(24, 4),
    )  # fmt: skip
    point = torch.zeros(1, 12)
    label = int(module(point).argmax())
    stays = Property.largest(Box.around(point, 0.3), label, 4)
    result = boundmesh.verify(module, stays, timeout=20, restarts=0)
    assert [reached.stage for reached in result.reached][:2] == ["crown-ibp", "alpha-crown"]
    for one, other in zip(result.reached, result.reached[1:], strict=False):
        assert one.cases == other.cases == (0,)
        assert one.margins.shape == (3,) and (other.margins >= one.margins).all()
    if result.verdict.word == "unsat":
        assert float(result.reached[-1].margins.min()) == result.verdict.bound
    # A neuron that is unstable after tighter bounds is unstable after looser ones.
    for name, (some, every) in result.reached[1].unstable.items():
        before, size = result.reached[0].unstable[name]
        assert some <= before <= size == every


def test_a_margin_without_a_number_is_written_in_words() -> None:
    assert of_margin(POSITIVE) == "above 0"
    assert of_margin(float("-inf")) == of_margin(float("nan")) == "no bound"
    assert of_margin(0.12345) == "0.1235"
