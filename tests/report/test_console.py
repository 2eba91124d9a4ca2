import io

import pytest
from rich.console import Console

from boundmesh.report.console import ConsoleProgress


def console(terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=200, color_system=None)


def lines(to: Console) -> list[str]:
    return to.file.getvalue().splitlines()


def test_a_finished_stage_leaves_one_line_with_its_last_facts():
    to = console()
    with ConsoleProgress(to) as progress:
        progress.stage("alpha-crown", "9 rows")
        progress.update(margin=-1.0, open_clauses=3)
        progress.update(margin=0.123456, open_clauses=0)
    (line,) = lines(to)
    assert line.startswith("alpha-crown ")
    assert line.endswith("9 rows, margin 0.1235, open clauses 0")


def test_a_stage_announced_again_goes_on():
    to = console()
    with ConsoleProgress(to) as progress:
        progress.stage("read")
        progress.stage("read")
        progress.stage("attack")
    assert [line.split()[0] for line in lines(to)] == ["read", "attack"]


def test_a_terminal_is_left_with_the_same_lines():
    to = console(terminal=True)
    with ConsoleProgress(to) as progress:
        progress.stage("attack")
        progress.update(restarts=3)
    assert "restarts 3" in to.file.getvalue()


def test_quiet_says_only_warnings():
    to = console()
    with ConsoleProgress(to, quiet=True) as progress:
        progress.stage("read")
        progress.say("network", "of two layers")
        progress.warn("the region is empty")
    assert [line.split() for line in lines(to)] == [["warning", "the", "region", "is", "empty"]]


def test_brackets_in_a_text_stay_as_they_are():
    to = console()
    with ConsoleProgress(to) as progress:
        progress.say("property", "Y[0] ≤ [bold]Y[1]")
    assert lines(to)[0].endswith("Y[0] ≤ [bold]Y[1]")


def test_an_interrupt_names_the_stage_it_hit():
    to = console()
    with pytest.raises(KeyboardInterrupt), ConsoleProgress(to) as progress:
        progress.stage("crown")
        raise KeyboardInterrupt
    assert lines(to)[-1].split() == ["interrupted", "during", "crown;", "no", "verdict"]


def test_a_search_is_told_in_words_and_nothing_is_told_of_what_is_zero():
    to = console()
    with ConsoleProgress(to) as progress:
        progress.stage("branch")
        progress.update(open=0, visited=9, margin=2.2e-308, depth=0, stuck=0, frontier_bytes=0)
    assert lines(to)[0].endswith(" open 0, 9 domains bounded, margin above 0")
    with ConsoleProgress(to) as progress:
        progress.stage("branch")
        progress.update(open=2, visited=9, margin=-0.5, depth=3, stuck=1, frontier_bytes=2**19)
    assert lines(to)[1].endswith(
        " open 2, 9 domains bounded, margin -0.5, split 3 times at most, "
        "1 have nothing left to split, open ones take 0.5 MiB"
    )
