"""Judges the answer to a random query by its meaning in exact numbers."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from boundmesh import models
from boundmesh.api import verify
from boundmesh.errors import BoundmeshError
from boundmesh.graph.graph import Graph
from boundmesh.property import Property
from boundmesh.read import vnnlib
from boundmesh.read.networks import graphs_of
from boundmesh.read.query import parse
from boundmesh.report.assignment import assignment
from boundmesh.verdict import Falsified, Verified
from tests.queries.generate import Question

STEPS = 4


def joined(question: Question, text: str) -> tuple[Graph, Property]:
    """Read a text as a query about the networks of a question, without any departure."""
    graphs: dict[str | None, Graph] = {}
    for name, network in question.networks.items():
        same = [other for other, each in question.networks.items() if each is network]
        graphs[name] = graphs[same[0]] if same[0] in graphs else network.graph()
    query = parse(text, Path("p.vnnlib"), strict=True)
    return vnnlib.join(query, graphs_of(query, graphs, models.load))


def judged(question: Question, timeout: float) -> tuple[str, str]:
    """Return `unsat`, `sat` or `open` where the answer is right, else `refused` or `wrong`.

    The second word says why.
    """
    try:
        graph, property = joined(question, question.text)
        verdict = verify(graph, property, device="cpu", timeout=timeout).verdict
    except BoundmeshError as error:
        return "refused", str(error)
    if isinstance(verdict, Falsified):
        values = read_back(assignment(verdict.counterexample, property))
        if not question.holds(values):
            return "wrong", f"sat, but the assertions fail at {values}"
        near = question.values({name: values[name] for name in question.boxes})
        for name, numbers in values.items():
            for one, other in zip(numbers, near[name], strict=True):
                if abs(one - other) > Fraction(1, 1000) * (1 + abs(other)):
                    return "wrong", f"sat, but {name} is {near[name]} and not {numbers}"
        return "sat", ""
    if isinstance(verdict, Verified):
        witness = question.witness(STEPS)
        return ("unsat", "") if witness is None else ("wrong", f"unsat, but it holds at {witness}")
    return "open", ""


def read_back(text: str) -> dict[str, list[Fraction]]:
    """Read the tensors of an assignment."""
    values: dict[str, list[Fraction]] = {}
    name = ""
    for line in text.splitlines():
        if " " in line:
            name = line.split()[0]
            values[name] = []
        else:
            values[name].append(Fraction(line))
    return values
