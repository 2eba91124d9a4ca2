"""Adds rows that mix the outputs of twins to a graph, bounded in two ways at once.

Twins are two networks of one graph whose nodes can be paired. A row ⟨a, y⟩ + ⟨b, y'⟩ on outputs of
both is computed once as it is written, and once as ⟨a + b, y⟩ + ⟨b, d⟩ with the difference d of the
outputs. Both are the same number, which is therefore also their maximum; its lower bound is the
better one of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations

from boundmesh.graph.build import Builder
from boundmesh.graph.graph import Extended, Graph, Subnetwork
from boundmesh.operators.node import Node
from boundmesh.property import Affine, Property, Terms
from boundmesh.read.differences import Differences
from boundmesh.read.joined import affine, picked

Row = Mapping[int, Fraction]
"""The coefficients that are not zero, by the place in the flat output."""


@dataclass(frozen=True)
class Twins:
    """Two networks of a graph: where their flat outputs begin, and how these differ.

    first, second  the first place of the networks' outputs in the graph's flat output
    size           the number of outputs of each
    output         the node of the first network's output, flat
    difference     the node of the second network's output minus the first one's, flat; None: zero
    """

    first: int
    second: int
    size: int
    output: Node
    difference: Node | None

    def mixed(self, row: Row) -> bool:
        """Return True if a row has terms of both outputs."""
        return any(self.first <= place < self.first + self.size for place in row) and any(
            self.second <= place < self.second + self.size for place in row
        )

    def rewritten(self, row: Row) -> tuple[Row, Row]:
        """Return the row on the output without the second network, and the row on the difference.

        Places in the second row are counted from the network's first output.
        """
        kept, of_difference = dict(row), {}
        for place in range(self.second, self.second + self.size):
            factor = kept.pop(place, Fraction(0))
            if factor:
                number = place - self.second
                of_difference[number] = factor
                kept[self.first + number] = kept.get(self.first + number, Fraction(0)) + factor
        return {place: factor for place, factor in kept.items() if factor}, of_difference


def with_twins(graph: Graph, property: Property) -> Graph:
    """Extend a graph by the sums of outputs of twins that conditions of the property compare.

    Where there are no twins, or no condition mixes their outputs, the graph stays as it is.
    """
    if len(graph.parts) < 2:
        return graph
    clauses = (clause for case in property.cases for clause in case.clauses)
    atoms = (atom for clause in dict.fromkeys(clauses) for atom in clause.every_atom)
    return with_sums(graph, list(dict.fromkeys(atom.outputs for atom in atoms)))


def with_sums(graph: Graph, sums: Sequence[Terms]) -> Graph:
    """Extend a graph by those sums of outputs, given by their terms, that mix twins."""
    rows = [dict(terms) for terms in sums]
    build, places = Builder.onto(graph), dict[Terms, int]()
    build.scope = "twins"
    added = [build.reshape(graph[graph.output], (graph[graph.output].size,))]
    for twins in twins_of(graph, build, rows):
        start = sum(node.size for node in added)
        mixed = [n for n, terms in enumerate(sums) if terms not in places and twins.mixed(rows[n])]
        places |= {sums[n]: start + place for place, n in enumerate(mixed)}
        build.scope = "twins"
        added.append(larger_of_both(build, added[0], twins, [rows[n] for n in mixed]))
    if not places:
        return graph
    output = build.add("concat", *added, axis=0)
    graph = replace(graph, weights=build.weights, formed=build.formed)
    nodes = tuple(build.nodes.values())
    return replace(
        graph, extended=Extended(replace(graph, nodes=nodes, output=output.name), places)
    )


def twins_of(graph: Graph, build: Builder, rows: Sequence[Row]) -> Iterator[Twins]:
    """Yield the twins among the networks of a graph that some row mixes.

    Their differences are added to the graph. Networks whose differences are no narrower than their
    outputs are left out.
    """
    differences = Differences(build)
    sizes = [sum(port.size for port in part.graph.outputs) for part in graph.parts]
    firsts = [sum(sizes[:number]) for number in range(len(sizes))]
    met = [_met(rows, *span) for span in zip(firsts, sizes, strict=True)]
    taken: frozenset[int] = frozenset()
    for a, b in combinations(range(len(sizes)), 2):
        mixed = met[a] & met[b] - taken
        if not mixed or sizes[a] != sizes[b] or not share(graph.parts[a], graph.parts[b]):
            continue
        outputs = [located(build, graph.output, firsts[n], sizes[n]) for n in (a, b)]
        first, second = outputs
        if first is None or second is None:
            continue
        d = differences.of(first.name, second.name)
        if d is None or differences.joint(d):
            taken |= mixed
            yield Twins(firsts[a], firsts[b], sizes[a], first, d)


def share(network: Subnetwork, twin: Subnetwork) -> bool:
    """Return True if some input of both networks is the same one."""
    return any(first == second for first, second in zip(network.places, twin.places, strict=False))


def _met(rows: Sequence[Row], first: int, size: int) -> frozenset[int]:
    """Return the numbers of the rows that have terms at `first ≤ place < first + size`."""
    return frozenset(
        number
        for number, row in enumerate(rows)
        if any(first <= place < first + size for place in row)
    )


def located(build: Builder, name: str, first: int, size: int) -> Node | None:
    """Return the flat node whose values a flat node holds at `first ≤ place < first + size`.

    The node is a concatenation of flat nodes, perhaps of such. The result is None where no node
    holds these values and no others.
    """
    node = build.nodes[name]
    while first or node.size != size:
        if node.op == "concat" and len(node.shape) == 1:
            for name in node.inputs:
                node = build.nodes[name]
                if first < node.size:
                    break
                first -= node.size
        elif node.op == "reshape" and len(node.shape) == 1:
            node = build.nodes[node.inputs[0]]
        else:
            return None
        if first + size > node.size:
            return None
    build.scope = "twins"
    return build.reshape(node, (size,))


def larger_of_both(build: Builder, output: Node, twins: Twins, rows: Sequence[Row]) -> Node:
    """Add nodes that compute rows on the flat output in both ways, and return their maximum."""
    apart = weighted(build, output, rows)
    kept, moved = zip(*map(twins.rewritten, rows), strict=True)
    ends = twins.first, twins.first + twins.size
    terms = []
    if any(moved) and twins.difference is not None:
        terms.append(weighted(build, twins.difference, moved))
    if all(ends[0] <= place < ends[1] for row in kept for place in row):
        shifted = [{place - ends[0]: factor for place, factor in row.items()} for row in kept]
        if any(shifted) or not terms:
            terms.append(weighted(build, twins.output, shifted))
    else:
        terms.append(weighted(build, output, kept))
    joint = terms[0] if len(terms) == 1 else build.add("add", *terms)
    both = build.reshape(build.add("concat", apart, joint, axis=0), (2, len(rows)))
    return build.add("max", both, axis=0)


def weighted(build: Builder, values: Node, rows: Sequence[Row]) -> Node:
    """Add a node that computes rows on flat values."""
    used = sorted({place for row in rows for place in row}) or [0]
    columns = {("y", place): column for column, place in enumerate(used)}
    forms = [Affine((), tuple(sorted(row.items())), Fraction(0)) for row in rows]
    return affine(build, picked(build, values, used), forms, columns)
