"""Lists what a plan assumes: network, rows, device, unstable neurons, tiles and search."""

from __future__ import annotations

from collections.abc import Iterator

from boundmesh.plan.plan import Plan, methods_of
from boundmesh.report.amounts import of_size
from boundmesh.report.words import of_graph

INDENT = 11
"""The column at which the text of an assumption begins; its name stands in front."""
STARTS = 3
"""So many start nodes are written out; the rest is counted."""


def assumptions(plan: Plan) -> Iterator[str]:
    """Write each assumption as a line that begins with its name."""
    texts = {
        "network": of_graph(plan.bounding.graph),
        "bounding": _bounding(plan),
        "device": f"{plan.machine.name}, {_dtype(plan)}; nothing is run on it",
        "unstable": _unstable(plan),
        "tiles": _tiles(plan),
        "search": _search(plan),
    }
    return (f"{name:{INDENT}}{text}" for name, text in texts.items() if text)


def _bounding(plan: Plan) -> str:
    bounding, methods = plan.bounding, methods_of(plan.bounding)
    regions = f" on {bounding.domains} regions" if bounding.domains > 1 else ""
    steps = f", {bounding.iterations} steps" if "alpha-crown" in methods else ""
    return f"{bounding.rows} rows{regions} by {', then '.join(methods)}{steps}"


def _dtype(plan: Plan) -> str:
    return str(plan.bounding.dtype).removeprefix("torch.")


def _unstable(plan: Plan) -> str:
    unstable = plan.unstable
    if not unstable.interval:
        origin = "an upper bound; --unstable, a property or --input say more"
        if unstable.share < 1:
            origin = "as stated"
        return f"{100 * unstable.share:.3g} % of all neurons, {origin}"
    sizes = {start: plan.bounding.graph[start].size for start in unstable.interval}
    count = sum(unstable.rows(start)(size) for start, size in sizes.items())
    return (
        f"{count:,} of {sum(sizes.values()):,} neurons, counted by IBP; a run has fewer, as a rule"
    )


def _tiles(plan: Plan) -> str:
    shown = [
        f"{min(tile.height, tile.rows):,} of {tile.rows:,} rows from {tile.start}"
        for tile in plan.tiles[:STARTS]
    ]
    more = len(plan.tiles) - STARTS
    return ", ".join(shown) + (f", and so on for {more} more" if more > 0 else "")


def _search(plan: Plan) -> str:
    if plan.search is None:
        return ""
    return (
        f"rounds of {plan.search.batch:,} domains, if bounds leave some open; each open one takes "
        f"{of_size(plan.search.domain_bytes)} of host memory"
    )
