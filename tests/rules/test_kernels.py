"""What Triton compiled for one kind of arguments is started at once for others of that kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from boundmesh.kernels import launcher


class Compiled:
    """Notes how it is started."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def __getitem__(self, grid: tuple[int, int, int]) -> Any:
        return lambda *arguments: self.asked.append((grid, *arguments))


class Known(Compiled):
    """What Triton 3.6 compiles."""

    function, packed_metadata = "function", "metadata"

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[tuple[Any, ...]] = []

    def run(self, *arguments: Any) -> None:
        self.ran.append(arguments)


class Kernel:
    def __init__(self, compiled: Compiled | None) -> None:
        self.__name__, self._compiled, self.compiles = "kernel", compiled, 0

    def __getitem__(self, grid: tuple[int, int, int]) -> Any:
        def compiling(*arguments: Any) -> Compiled | None:
            self.compiles += 1
            return self._compiled

        return compiling


def started_three_times(monkeypatch: pytest.MonkeyPatch, compiled: Compiled | None) -> Kernel:
    monkeypatch.setattr(launcher, "_LAUNCHES", {})
    monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda device: 7, raising=False)
    kernel = Kernel(compiled)
    for place in range(3):
        launcher.start(kernel, "kind", (place, 1, 1), torch.zeros(1), "tensor", place)
    return kernel


def test_a_kernel_is_compiled_once_and_then_runs_on_the_current_stream(monkeypatch) -> None:
    compiled = Known()
    assert started_three_times(monkeypatch, compiled).compiles == 1
    given = 7, "function", "metadata", None, None, None, "tensor"
    assert compiled.ran == [(1, 1, 1, *given, 1), (2, 1, 1, *given, 2)] and not compiled.asked


def test_what_an_unknown_triton_compiled_is_asked_to_start_itself(monkeypatch) -> None:
    compiled = Compiled()
    assert started_three_times(monkeypatch, compiled).compiles == 1
    assert compiled.asked == [((1, 1, 1), "tensor", 1), ((2, 1, 1), "tensor", 2)]


def test_an_interpreter_which_compiles_nothing_is_called_each_time(monkeypatch) -> None:
    assert started_three_times(monkeypatch, None).compiles == 3
