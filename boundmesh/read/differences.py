"""Adds to a graph of two networks how their paired values differ (see `difference_rules`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from boundmesh.graph.build import Builder
from boundmesh.operators.change import WHOLE_LINE
from boundmesh.operators.node import Node
from boundmesh.read.difference_rules import DIFFERENCES, UNROUNDED, same_numbers


class Differences:
    """The differences `second − first` of nodes of a graph, which are added to it where needed.

    Two nodes are paired if they have the same op, attributes and shapes. The difference of nodes
    that are not paired, or whose op has no rule, is their difference as it is.
    """

    def __init__(self, build: Builder) -> None:
        self._build = build
        self._found: dict[tuple[str, str], Node | None] = {}

    def of(self, first: str, second: str) -> Node | None:
        """Return the node of the difference; None if it is zero, however the networks round."""
        waiting = [(first, second)]
        while waiting:
            pair = waiting[-1]
            node, twin = (self._build.nodes[name] for name in pair)
            inputs = list(zip(node.inputs, twin.inputs, strict=False)) if alike(node, twin) else []
            missing = [
                input_pair
                for input_pair in inputs
                if input_pair not in self._found and input_pair[0] != input_pair[1]
            ]
            if missing and pair not in self._found:
                waiting += missing
                continue
            waiting.pop()
            if pair not in self._found:
                self._found[pair] = self._made(node, twin)
        return self._found[first, second]

    def joint(self, node: Node) -> bool:
        """Return True if a difference has a paired function below it, so that it may be narrower.

        Otherwise the network up to there is affine, or its differences are computed as they are.
        """
        waiting, seen = [node.name], set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if self._build.nodes[name].op == "change":
                return True
            waiting += self._build.nodes[name].inputs
        return False

    def _made(self, node: Node, twin: Node) -> Node | None:
        if node.name == twin.name:
            return None
        if alike(node, twin):
            pairs = zip(node.inputs, twin.inputs, strict=True)
            given = [None if a == b else self._found[a, b] for a, b in pairs]
            equal = len(node.weights) == len(twin.weights) and same_numbers(self._build, node, twin)
            if node.op in UNROUNDED and equal and all(d is None for d in given):
                return None
            if node.op in DIFFERENCES and (equal or node.op not in WHOLE_LINE):
                self._build.scope = f"difference of {twin.name}"
                return DIFFERENCES[node.op](self._build, node, twin, given)
        self._build.scope = f"difference of {twin.name}"
        return self._build.add("subtract", twin, node)


def alike(node: Node, twin: Node) -> bool:
    """Return True if both nodes apply the same operator in the same way, to other values."""
    return (
        not node.is_input
        and node.op == twin.op
        and node.shape == twin.shape
        and node.input_shapes == twin.input_shapes
        and same_attributes(node.attributes, twin.attributes)
    )


def same_attributes(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(value, second[name])
        if isinstance(value, np.ndarray) or isinstance(second[name], np.ndarray)
        else value == second[name]
        for name, value in first.items()
    )
