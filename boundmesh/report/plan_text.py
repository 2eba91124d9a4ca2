"""A plan for people: what it assumes, a table, and what it comes to."""

from __future__ import annotations

import re
import textwrap

from boundmesh.plan.plan import Plan
from boundmesh.report.plan_answer import answer
from boundmesh.report.plan_assumptions import INDENT, assumptions
from boundmesh.report.plan_table import terms_by_line, with_terms, without_terms


def of_plan(plan: Plan, width: int | None = None) -> str:
    """Write a plan for people, in lines of at most `width` characters where that is given.

    In a console that is too narrow for a column for each term of memory, the terms are written
    below the table, line by line.
    """
    assumed = [line for text in assumptions(plan) for line in _wrapped(text, width, INDENT)]
    table = with_terms(plan)
    if width is not None and max(map(len, table)) > width:
        terms = [line for text in terms_by_line(plan) for line in _wrapped(text, width, 2)]
        table = [*without_terms(plan), "", *terms]
    answered = [line for text in answer(plan) for line in _wrapped(text, width)]
    return "\n".join([*assumed, "", *table, "", *answered, ""])


def _wrapped(text: str, width: int | None, indent: int = 0) -> list[str]:
    """Break a text into lines of at most `width` characters; all but the first are indented."""
    if width is None or len(text) <= width:
        return [text]
    following = " " * min(indent, width // 3)
    # A number stays beside its unit: textwrap does not break at a space of this kind.
    lines = textwrap.wrap(
        re.sub(r"(\d) (?=[A-Za-zα]+)", "\\1\u00a0", text),
        width,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\u00a0", " ") for line in lines]
