"""Prints a Graph as text."""

from __future__ import annotations

from boundmesh.graph.graph import Graph
from boundmesh.operators.node import Node


def show(graph: Graph) -> str:
    """Return one line per node: its name, operator, operands, attributes, weights and shape."""
    rows = [
        (node.name, described(node), "×".join(map(str, node.shape)) or "scalar")
        for node in graph.nodes
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"{name:<{widths[0]}}  {what:<{widths[1]}}  {shape}" for name, what, shape in rows]
    weights = sum(array.nbytes for array in graph.weights.values())
    size = f"{weights / 2**20:.1f} MiB"
    lines.append(f"{len(graph.nodes)} nodes, weights {size}, output '{graph.output}'")
    return "\n".join(lines)


def described(node: Node) -> str:
    """Return `op(operands; weights) attribute=value …`. Long attributes are cut short."""
    operands = ", ".join(node.inputs) + ("; " + ", ".join(node.weights) if node.weights else "")
    settings = (f"{name}={shortened(value)}" for name, value in node.attributes.items())
    return " ".join((f"{node.op}({operands})", *settings))


def shortened(value: object, limit: int = 40) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
