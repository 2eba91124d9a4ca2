"""Makes one Graph of several networks, and adds products of inputs and outputs to a Graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from boundmesh.graph.build import Builder
from boundmesh.graph.constant import Constant
from boundmesh.graph.formed import EXACT, Formed
from boundmesh.graph.graph import Graph, Port, Subnetwork
from boundmesh.operators.node import Node
from boundmesh.property import Affine, Product
from boundmesh.rational import is_float


def joined(parts: Sequence[Subnetwork], names: Sequence[str], inputs: Sequence[Port]) -> Graph:
    """Make one Graph of several networks, whose flat inputs may share places.

    The input of the result is flat and consists of `inputs`. Its output holds the flat outputs of
    all parts, one after another. `names` are the parts' names, one for each.
    """
    build = Builder()
    x = build.input((sum(port.size for port in inputs),))
    flat, ports = [], []
    for name, part in zip(names, parts, strict=True):
        build.scope = name
        graph = part.graph
        part_input = build.reshape(picked(build, x, part.places), graph[graph.input].shape)
        y = build.include(graph, part_input, f"{name}/")
        build.scope = name
        flat.append(build.reshape(y, (y.size,)))
        ports += [replace(port, name=f"{name}/{port.name}") for port in graph.outputs]
    build.scope = "outputs"
    output = flat[0] if len(flat) == 1 else build.add("concat", *flat, axis=0)
    return replace(build.graph(output, tuple(inputs), tuple(ports)), parts=tuple(parts))


def with_products(graph: Graph, products: Sequence[Product]) -> Graph:
    """Add products to the outputs of a graph, unless they are there already.

    The output of the result is flat: the outputs of the network, then the products.
    """
    outputs = sum(port.size for port in graph.outputs)
    if not products or graph[graph.output].size == outputs + len(products):
        return graph
    build = Builder(reserved=[node.name for node in graph.nodes])
    x = build.input(graph[graph.input].shape, graph.input)
    y = build.include(graph, x)
    build.scope = "products"
    flat_x, known = build.reshape(x, (x.size,)), [build.reshape(y, (y.size,))]
    for group in levels(products, outputs):
        values = known[0] if len(known) == 1 else build.add("concat", *known, axis=0)
        known.append(multiplied(build, flat_x, values, group))
    output = build.add("concat", *known, axis=0)
    made = build.graph(output, graph.inputs, graph.outputs, graph.source)
    parts = graph.parts or (Subnetwork(graph, tuple(range(x.size))),)
    return replace(made, source=None, parts=parts)


def levels(products: Sequence[Product], outputs: int) -> Iterable[Sequence[Product]]:
    """Divide products into runs of neighbours of which none is a factor of another one."""
    start = 0
    for place, product in enumerate(products):
        used = (j for form in (product.left, product.right) for j, _ in form.outputs)
        if any(j >= outputs + start for j in used):
            yield products[start:place]
            start = place
    yield products[start:]


def multiplied(build: Builder, x: Node, y: Node, products: Sequence[Product]) -> Node:
    """Add nodes that compute the products, flat. A product of equal factors is a square."""
    forms = [form for product in products for form in (product.left, product.right)]
    columns_x = sorted({i for form in forms for i, _ in form.inputs})
    columns_y = sorted({j for form in forms for j, _ in form.outputs})
    used = [picked(build, x, columns_x)] if columns_x else []
    used += [picked(build, y, columns_y)] if columns_y else []
    values = used[0] if len(used) == 1 else build.add("concat", *used, axis=0)
    columns = {("x", i): place for place, i in enumerate(columns_x)}
    columns |= {("y", j): len(columns_x) + place for place, j in enumerate(columns_y)}
    parts, order = [], []
    for square in (True, False):
        chosen = [
            k for k, product in enumerate(products) if (product.left == product.right) == square
        ]
        if not chosen:
            continue
        order += chosen
        left = affine(build, values, [products[k].left for k in chosen], columns)
        if square:
            parts.append(build.add("power", left, exponent=2.0))
        else:
            right = affine(build, values, [products[k].right for k in chosen], columns)
            parts.append(build.add("multiply", left, right))
    whole = parts[0] if len(parts) == 1 else build.add("concat", *parts, axis=0)
    return picked(build, whole, np.argsort(order).tolist())


def affine(
    build: Builder, values: Node, forms: Sequence[Affine], columns: dict[tuple[str, int], int]
) -> Node:
    """Add a linear node that computes the sums from the values in their columns."""
    weight = np.zeros((len(forms), values.size))
    exact = True
    for row, form in enumerate(forms):
        for kind, terms in (("x", form.inputs), ("y", form.outputs)):
            for place, coefficient in terms:
                weight[row, columns[kind, place]] = number = float(coefficient)
                exact &= is_float(coefficient, number)
    bias = np.array([float(form.constant) for form in forms])
    whole = all(is_float(f.constant, float(f.constant)) for f in forms)
    weights = [Constant("", weight, EXACT if exact else Formed(None, 1))]
    if bias.any():
        weights.append(Constant("", bias, EXACT if whole else Formed(None, 1)))
    return build.add("linear", values, weights=weights)


def picked(build: Builder, x: Node, places: Sequence[int]) -> Node:
    """Add a node that holds the flat values of x at these places."""
    if list(places) == list(range(x.size)):
        return x
    first, last = places[0], places[-1] + 1
    if list(places) == list(range(first, last)):
        return build.add("slice", x, ranges=((first, last, 1),))
    return build.add("gather", x, axis=0, index=tuple(places))
