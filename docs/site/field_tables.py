"""Turns the tables of fields in docstrings into lists, which Markdown shows as such.

    restarts  random starts per case
    steps     gradient steps from each start

Each such block, in which a name is followed by two spaces or more, becomes a list of names and
descriptions. A line that begins in the column of descriptions continues the one before.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

FIELD = re.compile(r"^(?P<name>[a-z_]\w*(?:, [a-z_]\w*)*) {2,}(?P<text>\S.*)$")


class FieldTables(griffe.Extension):
    """Rewrites the docstring of every object that is loaded."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object, where it has one."""
        if obj.docstring is not None:
            obj.docstring.value = with_lists(obj.docstring.value)


def with_lists(text: str) -> str:
    """Return a docstring with its tables of fields as Markdown lists."""
    lines: list[str] = []
    column = 0
    for line in text.splitlines():
        field = FIELD.match(line)
        if field is not None and (column or not lines or not lines[-1].strip()):
            column = field.start("text")
            names = "`, `".join(field["name"].split(", "))
            lines.append(f"- `{names}`: {field['text']}")
        elif column and line.strip() and len(line) - len(line.lstrip()) >= min(column, 4):
            lines.append(f"  {line.strip()}")
        else:
            column = 0
            lines.append(line)
    return "\n".join(lines)
