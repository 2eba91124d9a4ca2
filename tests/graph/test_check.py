"""What makes a Graph malformed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from boundmesh.errors import UnsupportedError
from boundmesh.graph.check import check
from tests.graph.small import changed, network


def test_a_graph_as_read_is_well_formed():
    check(network())


@pytest.mark.parametrize(
    ("place", "fields", "message"),
    [
        ("r", {"inputs": ("s",)}, "reads 's' before it is made"),
        ("r", {"inputs": ("nowhere",)}, "reads 'nowhere' before"),
        ("r", {"shape": (2, 5)}, r"gives \(1, 5\) and declares \(2, 5\)"),
        ("r", {"input_shapes": ((5,),)}, r"takes 'h' as \(5,\), which is \(1, 5\)"),
        ("r", {"name": "h"}, "two nodes are named 'h'"),
        ("r", {"op": "input", "inputs": ()}, "second input"),
        ("h", {"weights": ("lost",)}, "needs the weight 'lost'"),
    ],
)
def test_malformed_graphs_are_refused_by_node(place, fields, message):
    with pytest.raises(ValueError, match=message):
        check(changed(network(), place, **fields))


def test_a_missing_output_is_refused():
    with pytest.raises(ValueError, match="no node 'gone'"):
        check(replace(network(), output="gone"))


def test_operators_without_rules_are_refused_by_node():
    with pytest.raises(UnsupportedError, match=r"'lambert' \(node 'r'\)"):
        check(changed(network(), "r", op="lambert"))
