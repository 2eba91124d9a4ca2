"""A plan for programs: the content of `boundmesh plan --json`."""

from __future__ import annotations

from typing import Any

from boundmesh.plan.plan import Plan, Prediction, methods_of


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return the content of `boundmesh plan --json`."""
    bounding, rates = plan.bounding, plan.machine.rates
    return {
        "fits": plan.fits,
        "memory_bytes": plan.memory,
        "least_shards": plan.least,
        "reserve_bytes": plan.machine.reserve,
        "methods": list(methods_of(bounding)),
        "rows": bounding.rows,
        "domains": bounding.domains,
        "iterations": bounding.iterations,
        "dtype": str(bounding.dtype).removeprefix("torch."),
        "tile_elements": bounding.tile_elements,
        "device": plan.machine.name,
        "rates": {
            "operations_per_second": rates.operations,
            "bytes_per_second": rates.bandwidth,
            "bytes_per_second_between_ranks": rates.link,
            "source": rates.source,
        },
        "unstable": {
            "source": plan.unstable.source,
            "share": plan.unstable.share,
            "by_start": dict(plan.unstable.interval),
        },
        "search": None if plan.search is None else vars(plan.search),
        "tiles": [vars(tile) for tile in plan.tiles],
        "lines": [_line_json(plan, line) for line in plan.lines],
    }


def _line_json(plan: Plan, line: Prediction) -> dict[str, Any]:
    return {
        "shards": line.shards,
        "schedule": line.schedule,
        "peak_bytes": round(line.peak),
        "fits": plan.holds(line),
        "seconds": line.seconds,
        "terms": {term.name.lower(): round(size) for term, size in line.terms.items() if size},
        "sweeps": {
            name: {
                "operations": round(work.operations),
                "bytes_moved": round(work.moved),
                "bytes_received": round(work.received),
                "seconds": work.total(line.schedule),
            }
            for name, work in line.stages.items()
        },
    }
