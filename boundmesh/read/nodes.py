"""Translates ONNX nodes, one after the other, into constants and nodes of a Graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import onnx
import onnx_ir as ir

from boundmesh.errors import BoundmeshError, ReadError, UnsupportedError
from boundmesh.graph.build import Builder, Constant
from boundmesh.operators.node import Node
from boundmesh.read.alternatives import alternative
from boundmesh.read.constant_rules import JUMPING
from boundmesh.read.constants import fold, read_tensor, shape_of
from boundmesh.read.control_flow import chosen, repeated
from boundmesh.read.kinds import enter_kinds
from boundmesh.read.masks import enter_masks
from boundmesh.read.predict import refuse_too_large
from boundmesh.read.running import rounding_known
from boundmesh.read.translate import TRANSLATIONS, Step, Value
from boundmesh.read.whole_values import enter_reach, refuse_rounding

OPTIONAL = onnx.defs.OpSchema.FormalParameterOption.Optional


def needed(graph: ir.Graph) -> list[ir.Node]:
    """Return the nodes that the outputs depend on, in topological order; ReadError for a cycle."""
    try:
        graph.sort()
    except ValueError as error:
        raise ReadError(f"its nodes have no order: {error}") from error
    wanted = {value.name for value in graph.outputs}
    kept = []
    for node in reversed(graph):
        if wanted.isdisjoint(value.name for value in node.outputs):
            continue
        kept.append(node)
        wanted.update(value.name for value in node.inputs if value is not None)
        wanted.update(captured(node))
    return kept[::-1]


def captured(node: ir.Node) -> Iterator[str]:
    """Return the names that the node's subgraphs read."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            for inner in ir.traversal.RecursiveGraphIterator(attribute.as_graph()):
                yield from (name_of(value) for value in inner.inputs if value is not None)
            yield from (name_of(value) for value in attribute.as_graph().outputs)


def run(build: Builder, graph: ir.Graph, values: dict[str, Value], opset: int) -> None:
    """Add the values of the graph's nodes to `values`, which holds its inputs and weights."""
    values.update(weights(graph))
    for node in graph:
        check_results(node, opset)
    for node in needed(graph):
        values.update(results(build, node, values, opset))


def weights(graph: ir.Graph) -> Iterator[tuple[str, Constant]]:
    """Return the graph's weights by name."""
    for name, value in graph.initializers.items():
        if value.const_value is not None:
            yield name, Constant(name, read_tensor(value.const_value, name))


def results(
    build: Builder, node: ir.Node, values: dict[str, Value], opset: int
) -> Iterator[tuple[str, Value]]:
    """Return the values of one ONNX node: folded where they are constant, else translated."""
    build.scope = next(name_of(value) for value in node.outputs if is_read(value))
    step = step_of(build, node, values, opset)
    if node.domain not in ("", "ai.onnx"):
        raise step.refuse(f"its domain is '{node.domain}'; only ONNX's own operators are supported")
    refuse_too_large(step, node)
    refuse_rounding(step)
    bounded = [value for value in step.operands if isinstance(value, Node)]
    found: Value | tuple[Value, ...]
    if step.op == "If":
        found = chosen(step, values, run)
    elif step.op == "Loop":
        found = repeated(step, values, run)
    elif step.op in ("Shape", "Size") and (operand := step.operand(0)) is not None:
        found = shape_of(step, operand.shape)
    elif not bounded:
        found = folded(step, node)
    elif step.op in TRANSLATIONS:
        found = translated(step)
    else:
        raise step.refuse(f"it has no translation{nearest(step.op)}")
    produced = found if isinstance(found, tuple) else (found,)
    enter_masks(step, node, produced)
    enter_kinds(step, produced)
    enter_reach(step, produced)
    # A translation may leave out results that nothing reads.
    for name, value in zip(step.outputs, produced, strict=False):
        # A node that stands for −∞ at some elements is not the value of the file.
        if isinstance(value, Node) and value.name not in build.masked:
            value = build.rename(value, name)
        yield name, value


def check_results(node: ir.Node, opset: int) -> None:
    """Raise ReadError for a result without a name, unless its operator allows leaving it out.

    ONNX Runtime crashes the process when it writes to such a result.
    """
    unnamed = [place for place, value in enumerate(node.outputs) if not value.name]
    if not unnamed or node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type):
        return
    try:
        formal = onnx.defs.get_schema(node.op_type, opset).outputs
    except onnx.defs.SchemaError:
        return
    for place in unnamed:
        if formal[min(place, len(formal) - 1)].option != OPTIONAL:
            raise ReadError(
                f"node '{node.name}' ({node.op_type}) leaves out its result {place}, which its "
                "operator must have"
            )


def nearest(op: str) -> str:
    """Name what to use in place of `op`, for an error message."""
    near = alternative(op, "", TRANSLATIONS)
    listed = "`boundmesh supports --onnx-operators` lists all that are supported"
    return f"; instead: {near}; {listed}" if near else f"; {listed}"


def folded(step: Step, node: ir.Node) -> Value | tuple[Value, ...]:
    """Evaluate a node of constants.

    Where the rounding of its operator on constants is not known, it becomes a part of the graph,
    whose rules count all roundings.
    """
    try:
        return fold(step, node)
    except UnsupportedError:
        first = step.operand(0)
        if step.op not in TRANSLATIONS or not isinstance(first, Constant):
            raise
        if first.array.dtype.kind != "f" or step.op in JUMPING:
            raise
        operands = (step.build.constant(first), *step.operands[1:])
        return translated(replace(step, operands=operands))


def translated(step: Step) -> Value | tuple[Value, ...]:
    """Translate the node by the table; raise ReadError if it breaks its operator's definition."""
    if not rounding_known(step):
        step.build.unbounded.add(step.op)
    try:
        return TRANSLATIONS[step.op](step)
    except BoundmeshError:
        raise
    except Exception as error:
        # A node that breaks its operator's definition can fail in any way, and must end in words.
        shapes = [list(value.shape) for value in step.operands if value is not None]
        raise ReadError(
            f"node '{step.name}' ({step.op}) does not fit its operands of shapes {shapes}: {error}"
        ) from error


def step_of(build: Builder, node: ir.Node, values: dict[str, Value], opset: int) -> Step:
    """Return a node with its operands; raise ReadError where it reads what no node makes."""
    names = [None if value is None else name_of(value) for value in node.inputs]
    missing = [name for name in names if name is not None and name not in values]
    if missing:
        raise ReadError(
            f"node '{node.name}' ({node.op_type}) reads '{missing[0]}', which no node makes"
        )
    outputs = tuple(name_of(value) if is_read(value) else "" for value in node.outputs)
    return Step(
        node.op_type,
        node.name or build.scope,
        opset,
        tuple(None if name is None else values[name] for name in names),
        {name: attribute.value for name, attribute in node.attributes.items()},
        outputs,
        build,
    )


def name_of(value: ir.Value) -> str:
    """Return the value's name; every value of an ONNX file that is read has one."""
    return value.name or ""


def is_read(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()
