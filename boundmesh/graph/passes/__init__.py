"""Rewrites of a Graph that leave its function as it is, one per file."""

from boundmesh.graph.graph import Graph
from boundmesh.graph.passes.drop_dead import drop_dead
from boundmesh.graph.passes.drop_identities import drop_identities
from boundmesh.graph.passes.fold_affine import fold_affine
from boundmesh.graph.passes.lift_scalars import lift_scalars
from boundmesh.graph.passes.merge_reshapes import merge_reshapes

PASSES = (
    lift_scalars,
    drop_identities,
    merge_reshapes,
    drop_identities,
    drop_dead,
    fold_affine,
    drop_dead,
)


def simplify(graph: Graph) -> Graph:
    """All rewrites, in an order in which each finds what the one before it left."""
    for rewrite in PASSES:
        graph = rewrite(graph)
    return graph
