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
            one, two = (self._build.nodes[name] for name in pair)
            inputs = list(zip(one.inputs, two.inputs, strict=False)) if alike(one, two) else []
            missing = [each for each in inputs if each not in self._found and each[0] != each[1]]
            if missing and pair not in self._found:
                waiting += missing
                continue
            waiting.pop()
            if pair not in self._found:
                self._found[pair] = self._made(one, two)
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

    def _made(self, one: Node, two: Node) -> Node | None:
        if one.name == two.name:
            return None
        if alike(one, two):
            pairs = zip(one.inputs, two.inputs, strict=True)
            given = [None if a == b else self._found[a, b] for a, b in pairs]
            equal = len(one.weights) == len(two.weights) and same_numbers(self._build, one, two)
            if one.op in UNROUNDED and equal and all(d is None for d in given):
                return None
            if one.op in DIFFERENCES and (equal or one.op not in WHOLE_LINE):
                self._build.scope = f"difference of {two.name}"
                return DIFFERENCES[one.op](self._build, one, two, given)
        self._build.scope = f"difference of {two.name}"
        return self._build.add("subtract", two, one)


def alike(one: Node, two: Node) -> bool:
    """Return True if both nodes apply the same operator in the same way, to other values."""
    return (
        not one.is_input
        and one.op == two.op
        and one.shape == two.shape
        and one.input_shapes == two.input_shapes
        and same_attributes(one.attributes, two.attributes)
    )


def same_attributes(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    return one.keys() == two.keys() and all(
        np.array_equal(value, two[name])
        if isinstance(value, np.ndarray) or isinstance(two[name], np.ndarray)
        else value == two[name]
        for name, value in one.items()
    )
