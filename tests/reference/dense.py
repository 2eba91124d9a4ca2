"""IBP and CROWN written plainly, every layer a dense matrix, in float64 and for one box.

Nothing here is shared with boundmesh's bounds: the formulas are those of arXiv 1810.12715 (IBP) and
arXiv 1811.00866 (CROWN). A network is a list of layers, each with the places of its arguments in
the list; place 0 is the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from boundmesh.graph.graph import Graph
from boundmesh.operators.node import Node

Ends = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Layer:
    """`op` is input, affine (matrix · x + bias), relu or add."""

    op: str
    arguments: tuple[int, ...] = ()
    matrix: np.ndarray | None = None
    bias: np.ndarray | None = None


def layers_of(graph: Graph) -> list[Layer]:
    """The layers of a network of linear, conv, relu, add and reshape nodes."""
    places: dict[str, int] = {}
    layers: list[Layer] = []
    for node in graph.nodes:
        arguments = tuple(places[name] for name in node.inputs)
        if node.op == "reshape":
            places[node.name] = arguments[0]
            continue
        places[node.name] = len(layers)
        weights = [np.asarray(graph.weights[name], np.float64) for name in node.weights]
        if node.op == "linear":
            matrix, bias = weights[0], weights[1:]
            layers.append(Layer("affine", arguments, matrix, sum(bias, np.zeros(len(matrix)))))
        elif node.op == "conv":
            layers.append(Layer("affine", arguments, *conv_matrix(node, *weights)))
        else:
            assert node.op in ("input", "relu", "add"), node.op
            layers.append(Layer(node.op, arguments))
    assert places[graph.output] == len(layers) - 1
    return layers


def conv_matrix(node: Node, kernel: np.ndarray, bias: np.ndarray | float = 0.0) -> Ends:
    """The matrix and the bias of a convolution, entry by entry from its definition."""
    (_, channels, high, wide), (_, out, rows, columns) = node.input_shapes[0], node.shape
    (down, right), ((top, _), (left, _)) = node["stride"], node["padding"]
    assert tuple(node["dilation"]) == (1, 1)
    groups = node["groups"]
    outs, ins = out // groups, channels // groups
    matrix = np.zeros((out, rows, columns, channels, high, wide))
    for row, column in np.ndindex(rows, columns):
        for i, j in np.ndindex(*kernel.shape[2:]):
            y, x = row * down + i - top, column * right + j - left
            if 0 <= y < high and 0 <= x < wide:
                for group in range(groups):
                    to, of = group * outs, group * ins
                    block = kernel[to : to + outs, :, i, j]
                    matrix[to : to + outs, row, column, of : of + ins, y, x] += block
    return matrix.reshape(out * rows * columns, -1), np.repeat(np.zeros(out) + bias, rows * columns)


def ibp(layers: list[Layer], lower: np.ndarray, upper: np.ndarray) -> Ends:
    """Interval bounds of the last layer: a matrix maps centre c and radius r to Wc + b ± |W| r."""
    boxes: list[Ends] = []
    for layer in layers:
        ends = [boxes[place] for place in layer.arguments]
        if layer.op == "input":
            boxes.append((lower, upper))
        elif layer.op == "affine":
            (low, high), matrix = ends[0], layer.matrix
            centre = matrix @ (low + high) / 2 + layer.bias
            radius = np.abs(matrix) @ (high - low) / 2
            boxes.append((centre - radius, centre + radius))
        elif layer.op == "relu":
            boxes.append((np.maximum(ends[0][0], 0), np.maximum(ends[0][1], 0)))
        else:
            boxes.append((ends[0][0] + ends[1][0], ends[0][1] + ends[1][1]))
    return boxes[-1]


def crown(layers: list[Layer], lower: np.ndarray, upper: np.ndarray) -> Ends:
    """CROWN's bounds of the last layer; the input of every ReLU is bounded by CROWN as well."""
    before: dict[int, Ends] = {}
    for layer in layers:
        if layer.op == "relu" and layer.arguments[0] not in before:
            place = layer.arguments[0]
            before[place] = both_ends(layers[: place + 1], before, lower, upper)
    return both_ends(layers, before, lower, upper)


def both_ends(
    layers: list[Layer], before: dict[int, Ends], lower: np.ndarray, upper: np.ndarray
) -> Ends:
    rows = np.eye(width(layers, len(layers) - 1, len(lower)))
    low = substituted(layers, before, rows, lower, upper)
    return low, -substituted(layers, before, -rows, lower, upper)


def substituted(
    layers: list[Layer],
    before: dict[int, Ends],
    rows: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> np.ndarray:
    """The least of `rows · last layer`, each layer replaced by a linear function below it.

    Of an unstable ReLU with l < 0 < u, a coefficient that is negative takes the chord
    u (z − l) / (u − l), another one the line z where u > −l, else 0.
    """
    matrices = {len(layers) - 1: rows}
    constant = np.zeros(len(rows))
    for place in range(len(layers) - 1, 0, -1):
        if (row := matrices.pop(place, None)) is None:
            continue
        layer = layers[place]
        if layer.op == "affine":
            constant += row @ layer.bias
            row = row @ layer.matrix
        elif layer.op == "relu":
            low, high = before[layer.arguments[0]]
            unstable = (low < 0) & (high > 0)
            chord = np.where(unstable, high / np.where(unstable, high - low, 1), high > 0)
            below = np.where(unstable, high > -low, high > 0)
            constant += np.minimum(row, 0) @ np.where(unstable, -chord * low, 0)
            row = np.maximum(row, 0) * below + np.minimum(row, 0) * chord
        for argument in layer.arguments:
            matrices[argument] = matrices.get(argument, 0) + row
    row = matrices[0]
    return constant + np.maximum(row, 0) @ lower + np.minimum(row, 0) @ upper


def width(layers: list[Layer], place: int, inputs: int) -> int:
    layer = layers[place]
    if layer.op == "input":
        return inputs
    if layer.op == "affine":
        return len(layer.matrix)
    return width(layers, layer.arguments[0], inputs)
