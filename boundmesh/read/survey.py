"""Finds every node of an ONNX network that cannot be bounded, where reading stops at the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx_ir as ir

from boundmesh.errors import BoundmeshError
from boundmesh.graph.build import Constant
from boundmesh.graph.graph import Graph, Port
from boundmesh.operators.node import Node
from boundmesh.read.alternatives import ALTERNATIVES, FIXED, alternative
from boundmesh.read.control_flow import CONTROL
from boundmesh.read.files import contents
from boundmesh.read.kinds import BOOL
from boundmesh.read.nodes import check_results, name_of, needed, results, step_of, weights
from boundmesh.read.onnx import (
    Entry,
    enter_model,
    finite,
    leave_model,
    opset_of,
    parse,
    silenced,
)
from boundmesh.read.open_axes import UNKNOWN, KnownShapes, OpenAxisError
from boundmesh.read.predict import forms
from boundmesh.read.translate import TRANSLATIONS
from boundmesh.read.translate.step import REAL

LENGTHS = ("Constant", "Shape", "Size")
"""Operators whose results depend on no value of an input, but at most on its shape."""


@dataclass(frozen=True)
class Refusal:
    """A node that cannot be bounded.

    node         its name, or that of its first result
    op           its operator's type
    why          the reason, one sentence
    alternative  what to use in its place; empty where nothing is close
    """

    node: str
    op: str
    why: str
    alternative: str = ""


@dataclass(frozen=True)
class Survey:
    """Lists the parts of a network that can be bounded, and those that cannot.

    opset      the version of the operator set
    operators  how many nodes of each operator can be bounded
    constants  how many nodes do not depend on the input
    refused    the nodes that cannot be bounded
    unseen     the names of nodes that were not checked, as their operands' shapes are not known
    open_axis  which length must be given first; empty where all are fixed
    problem    what else keeps the network from being read; empty where nothing does
    inputs     the ports of the inputs; none where a length is open
    graph      the network; None unless all of it can be bounded
    """

    opset: int
    operators: Mapping[str, int]
    constants: int = 0
    refused: tuple[Refusal, ...] = ()
    unseen: tuple[str, ...] = ()
    open_axis: str = ""
    problem: str = ""
    inputs: tuple[Port, ...] = ()
    graph: Graph | None = None


@dataclass
class Seen:
    """Collects the findings of a survey."""

    operators: Counter[str] = field(default_factory=Counter)
    constants: int = 0
    refused: list[Refusal] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)


def survey(path: Path, lengths: KnownShapes = UNKNOWN) -> Survey:
    """Check all nodes of the network in an ONNX file.

    A node that is refused is replaced by a value of its result's shape, so that the nodes after it
    are checked as well. Where an input has an axis of open length, only the operators' types are
    checked. Raises ReadError for a file that is no ONNX network.
    """
    model = parse(contents(path), str(path))
    ir.external_data.set_base_dir(model.graph, path.resolve().parent)
    opset, seen = opset_of(model), Seen()
    try:
        entry = enter_model(model, lengths)
    except OpenAxisError as error:
        check_types(model.graph, seen)
        facts = opset, seen.operators, seen.constants, tuple(seen.refused)
        return Survey(*facts, open_axis=str(error))
    except BoundmeshError as error:
        check_types(model.graph, seen)
        facts = opset, seen.operators, seen.constants, tuple(seen.refused)
        return Survey(*facts, problem=str(error))
    graph, problem = None, ""
    with silenced(), np.errstate(all="ignore"):
        try:
            entry.values.update(weights(model.graph))
            for node in needed(model.graph):
                check_node(entry, node, seen)
            if not seen.refused and not seen.unseen:
                graph = leave_model(model, entry, path)
                finite(graph)
        except BoundmeshError as error:
            graph, problem = None, str(error)
    return Survey(
        opset,
        seen.operators,
        seen.constants,
        tuple(seen.refused),
        tuple(seen.unseen),
        problem=problem,
        inputs=entry.inputs,
        graph=graph,
    )


def check_types(graph: ir.Graph, seen: Seen) -> None:
    """Refuse the nodes whose operator has no translation, whatever their operands are.

    A node that depends on constants and lengths of axes alone is evaluated once these are given.
    """
    fixed = set(graph.initializers)
    for node in ir.traversal.RecursiveGraphIterator(graph):
        foreign = node.domain not in ("", "ai.onnx")
        read = {name_of(value) for value in node.inputs if value is not None}
        random = ALTERNATIVES.get(node.op_type) == FIXED
        if node.op_type in LENGTHS or (read <= fixed and not foreign and not random):
            fixed.update(name_of(value) for value in node.outputs)
            seen.constants += 1
        elif foreign or node.op_type not in {*TRANSLATIONS, *CONTROL}:
            # On constants an operator needs no translation; only a full check could tell.
            seen.refused.append(refusal(node, "it has no translation, unless it acts on constants"))
        else:
            seen.operators[node.op_type] += 1


def check_node(entry: Entry, node: ir.Node, seen: Seen) -> None:
    """Add the values of a node to those of the entry; stand-ins of the same shapes where refused.

    A node whose operands have no known shape is not checked.
    """
    label = node.name or name_of(node.outputs[0])
    if seen.unknown.intersection(name_of(value) for value in node.inputs if value is not None):
        seen.unseen.append(label)
        seen.unknown.update(name_of(value) for value in node.outputs)
        return
    try:
        check_results(node, entry.opset)
        produced = dict(results(entry.build, node, entry.values, entry.opset))
    except BoundmeshError as error:
        seen.refused.append(refusal(node, str(error)))
        stand_in(entry, node, seen)
        return
    if all(isinstance(value, Constant) for value in produced.values()):
        seen.constants += 1
    else:
        seen.operators[node.op_type] += 1
    entry.values.update(produced)


def refusal(node: ir.Node, text: str) -> Refusal:
    """Explain why a node is refused, without repeating its name."""
    why = text.partition(" cannot be translated: ")[2] or text
    if "it has no translation" in why or node.domain not in ("", "ai.onnx"):
        near = alternative(node.op_type, node.domain, TRANSLATIONS)
        why = why.partition("; ")[0]
    else:
        near = ""
    label = node.name or name_of(node.outputs[0])
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    return Refusal(label, f"{domain}{node.op_type}", why, near)


def stand_in(entry: Entry, node: ir.Node, seen: Seen) -> None:
    """Give the results of a refused node values of their shapes, or note that none is known."""
    known: dict[str, tuple[tuple[int, ...], int]] = {}
    # The node may read a value that nothing makes.
    with suppress(BoundmeshError):
        known = forms(step_of(entry.build, node, entry.values, entry.opset), node)
    for value in node.outputs:
        name = name_of(value)
        if name not in known:
            seen.unknown.add(name)
            continue
        shape, kind = known[name]
        entry.build.scope = name
        held: Node = entry.build.constant(Constant("", np.zeros(shape, np.float32)))
        entry.values[name] = held
        if kind not in REAL:
            entry.build.kinds[held.name] = "b" if kind == BOOL else "i"
