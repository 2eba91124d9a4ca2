"""Divides the neurons of every value among ranks under the schedule `exchange`.

A value is cut along one axis into a run of neurons for each rank, or every rank holds all of it.
The value of a product is cut along its outputs. Nodes after it keep the cut as long as their
operators can work on a piece alone. Other operators work on the whole value, on every rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from boundmesh.bounds.sweep.largest_row import one_by_one
from boundmesh.bounds.sweep.node_weights import output_axis, product_of
from boundmesh.bounds.sweep.node_weights import part_spans as parts_along
from boundmesh.graph.graph import Graph
from boundmesh.operators import RULES
from boundmesh.operators.node import Node
from boundmesh.operators.partition import Partition, even_partition

Cuts = Mapping[str, Partition | None]


def is_product(node: Node) -> bool:
    """Return True for a node that sums over all inputs: linear, or a convolution of one group."""
    return product_of(node) is not None and node.attributes.get("groups", 1) == 1


def product_cut(node: Node, ranks: int) -> Partition:
    """Return how the outputs of a product are cut."""
    axis = output_axis(node)
    return even_partition(axis, node.shape[axis], ranks)


def gathers_rows(node: Node, ranks: int) -> bool:
    """Return True if a product multiplies whole rows and its weight is cut along its inputs.

    One rank then computes every sum. A product whose weight has a part for every rank is cut along
    its outputs instead: one device adds it part by part, too, and it may have far more outputs than
    inputs.
    """
    return is_product(node) and len(product_parts(node)) < ranks


def product_parts(node: Node) -> list[tuple[int, int]]:
    """Return the parts of a product's weight, the same as on one device."""
    return parts_along(node, (node.shape[output_axis(node)], node.input_shapes[0][-1]))


def columns_cut(node: Node, cuts: Cuts, ranks: int) -> Partition:
    """Return how the weight of a product is cut along its inputs.

    It is cut like the input value if that is cut along the same axis, and evenly otherwise.
    """
    product = product_of(node)
    assert product is not None
    axis = product.input_axis(node)
    cut = cuts[node.inputs[0]]
    if cut is not None and cut.axis == axis:
        return cut
    return even_partition(axis, node.input_shapes[0][axis], ranks)


def place(graph: Graph, ranks: int) -> Cuts:
    """Return the cut of every value by name; None for a value that every rank holds whole."""
    whole: set[str] = set()
    while True:
        cuts: dict[str, Partition | None] = {}
        for node in graph.nodes:
            cuts[node.name] = None if node.name in whole else _cut(node, cuts, ranks)
        # A relaxation needs all its inputs in pieces of one cut, or all of them whole.
        more = {
            name
            for node in graph.nodes
            if not node.is_input and not RULES[node.op].affine and not is_local(node, cuts)
            for name in (*node.inputs, node.name)
        }
        if more <= whole:
            return cuts
        whole |= more


def is_local(node: Node, cuts: Cuts) -> bool:
    """Return True if each rank can pull its piece of the output back to its piece of the inputs."""
    cut = cuts[node.name]
    return cut is not None and not is_product(node) and _carried(node, cuts) == cut


def local_node(node: Node, cuts: Cuts, rank: int) -> Node:
    """Return a local node reduced to a rank's neurons."""
    cut = cuts[node.name]
    assert cut is not None
    pieces = [cuts[name] for name in node.inputs]
    shapes = tuple(
        shape if piece is None else piece.shape(shape, rank)
        for shape, piece in zip(node.input_shapes, pieces, strict=True)
    )
    low, high = cut.span(rank)
    attributes = dict(node.picked(lambda attribute: attribute.take(range(low, high), cut.axis)))
    of_piece = RULES[node.op].piece_attributes
    if of_piece is not None:
        attributes |= of_piece(node, cut.axis, high - low)
    return replace(
        node, shape=cut.shape(node.shape, rank), input_shapes=shapes, attributes=attributes
    )


def local_weights(
    node: Node, weights: Sequence[Tensor], cuts: Cuts, rank: int
) -> tuple[Tensor, ...]:
    """Return the parts of a local node's weights that a rank's neurons need."""
    cut = cuts[node.name]
    assert cut is not None
    product = product_of(node)
    if product is not None:
        inputs = cuts[node.inputs[0]]
        assert inputs is not None
        first = (inputs if product.output_dim else cut).span(rank)
        return (
            weights[0][slice(*first)],
            *(weight[slice(*cut.span(rank))] for weight in weights[1:]),
        )
    # Weights are broadcast against the value, so axes are counted from the last.
    dim = cut.axis - len(node.shape)
    low, high = cut.span(rank)
    return tuple(
        weight.narrow(dim, low, high - low)
        if weight.dim() >= -dim and weight.shape[dim] > 1
        else weight
        for weight in weights
    )


def _cut(node: Node, cuts: Cuts, ranks: int) -> Partition | None:
    if node.is_input:
        axis = next((axis for axis, length in enumerate(node.shape) if length > 1), None)
        return None if axis is None else even_partition(axis, node.shape[axis], ranks)
    return product_cut(node, ranks) if is_product(node) else _carried(node, cuts)


def _carried(node: Node, cuts: Cuts) -> Partition | None:
    """Return the cut of the output if the operator can work on pieces of its inputs, else None."""
    cut = cuts[node.inputs[0]] if node.inputs else None
    if cut is None or any(cuts[name] != cut for name in node.inputs):
        return None
    operator = RULES[node.op]
    if not operator.affine and one_by_one(node):
        return cut
    return None if operator.partition is None else operator.partition(node, cut)
