"""A parameter whose type is a group stands for all options of that group."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from boundmesh.commands.groups import with_groups
from boundmesh.commands.option_groups import RunOptions
from boundmesh.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Inner:
    depth: Annotated[int, typer.Option(min=0, help="How deep.")] = 3


@dataclass(frozen=True, kw_only=True)
class Outer:
    width: Annotated[int, typer.Option(help="How wide.")]
    inner: Inner
    round: Annotated[bool, typer.Option("--round")] = False


seen: list[tuple[str, Outer]] = []


@with_groups
def measure(name: Annotated[str, typer.Argument()], outer: Outer, last: int = 0) -> None:
    seen.append((f"{name}{last}", outer))


app = typer.Typer()
app.command()(measure)


def test_options_of_nested_groups_stand_where_the_group_stood() -> None:
    names = list(inspect.signature(measure).parameters)
    assert names == ["name", "width", "depth", "round", "last"]


def test_the_command_gets_groups_made_of_the_values_that_were_given() -> None:
    seen.clear()
    words = ["x", "--width", "5", "--round", "--last", "7"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert seen == [("x7", Outer(width=5, inner=Inner(depth=3), round=True))]


def test_options_of_a_group_are_checked_and_required_as_a_commands_own() -> None:
    seen.clear()
    assert CliRunner().invoke(app, ["x"]).exit_code == 2
    assert CliRunner().invoke(app, ["x", "--width", "5", "--depth", "-1"]).exit_code == 2
    assert seen == []


def test_options_left_out_make_the_settings_of_a_run_without_options() -> None:
    found: list[Settings] = []

    @with_groups
    def decide(run: RunOptions) -> None:
        found.append(run.settings(None))

    alone = typer.Typer()
    alone.command()(decide)
    assert CliRunner().invoke(alone, []).exit_code == 0
    assert found == [Settings()]
