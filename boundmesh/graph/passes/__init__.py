"""Rewrites of a Graph that do not change its function. Each file holds one rewrite."""

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


def simplify(graph: Graph, *, fold: bool = True) -> Graph:
    """Apply all rewrites, in an order in which later ones can use the results of earlier ones.

    Without `fold` those that compute new weights are left out.
    """
    for rewrite in PASSES:
        if fold or rewrite is not fold_affine:
            graph = rewrite(graph)
    return graph
