"""Shows the help of a command: framed in wide terminals, stacked in narrow ones."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterator

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

# Below so many characters the frames around options leave too little room for their words.
FRAMED_WIDTH = 72


def show_help(context: typer.Context, wanted: bool) -> None:
    """Print the help of a command and end it; the callback of `--help`."""
    if not wanted or context.resilient_parsing:
        return
    width = shutil.get_terminal_size().columns
    if width < FRAMED_WIDTH:
        typer.echo(stacked(context, max(width, 20)))
    elif text := context.get_help():
        typer.echo(text)
    raise typer.Exit()


def stacked(context: typer.Context, width: int) -> str:
    """Return the help of a command in lines of `width`, each description below its option."""
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = textwrap.wrap(f"Usage: {usage}", width, subsequent_indent="    ")
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        lines += ["", *textwrap.wrap(paragraph, width)]
    for title, entries in sections(context).items():
        lines += ["", f"{title}:"]
        for name, text in entries:
            lines += textwrap.wrap(name, width, initial_indent="  ", subsequent_indent="      ")
            lines += textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ")
    if command.epilog:
        lines += ["", *textwrap.wrap(command.epilog, width)]
    return "\n".join(lines)


def sections(context: typer.Context) -> dict[str, list[tuple[str, str]]]:
    """Return names and descriptions of a command's arguments, options and commands, by section."""
    found: dict[str, list[tuple[str, str]]] = {}
    for title, entry in _entries(context):
        found.setdefault(title, []).append(entry)
    return found


def _entries(context: typer.Context) -> Iterator[tuple[str, tuple[str, str]]]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, TyperArgument | TyperOption):
            usual = "Arguments" if isinstance(parameter, TyperArgument) else "Options"
            yield parameter.rich_help_panel or usual, record
    if isinstance(context.command, TyperGroup):
        for name, command in context.command.commands.items():
            text = inspect.cleandoc(command.help or "").split("\n\n")[0]
            yield "Commands", (name, " ".join(text.split()))
