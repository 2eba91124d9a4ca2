"""Writes the answer of a plan: what takes longest, where the run fits, and what would help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from boundmesh.plan.plan import Plan
from boundmesh.plan.rehearsal import ITERATION
from boundmesh.plan.terms import Term
from boundmesh.report.amounts import of_shards, of_size, of_time

STAGES = 3
"""So many of the stages that take longest are named."""
ADVICE: Mapping[Term, str] = {
    Term.WEIGHTS: "use more shards, or --offload weights",
    Term.FETCHED: "use --schedule exchange, under which weights stay where they are",
    Term.SLOPES: "use more shards, a smaller share of unstable neurons, or --method crown",
    Term.ROWS: "use a smaller --tile-elements",
    Term.GRADIENTS: "use a smaller --tile-elements",
}
"""The advice for each term of memory, which is given where the term is too large."""
OTHER_ADVICE = "use a device with more memory, or a cheaper --method"


def answer(plan: Plan) -> Iterator[str]:
    """Write what a plan comes to, sentence by sentence."""
    rates = plan.machine.rates
    yield _longest(plan)
    yield (
        f"Times are estimates, at {rates.operations / 1e12:g} TFLOP/s and "
        f"{rates.bandwidth / 1e9:g} GB/s ({rates.source})."
    )
    if plan.memory is None:
        yield "Whether it fits: give the memory of a device, as in --memory 80GiB."
    elif plan.least is None:
        yield _too_large(plan, plan.memory)
    else:
        yield _fits(plan, plan.memory, plan.least)


def _longest(plan: Plan) -> str:
    """Name the stages that take longest on the fewest shards."""
    line = plan.lines[0]
    times = {name: work.total(line.schedule) for name, work in line.stages.items()}
    longest = sorted(times, key=lambda name: -times[name])[:STAGES]
    shown = ", ".join(f"{of_time(times[name])} {_stage(name)}" for name in longest)
    return f"Longest on {of_shards(line.shards)}: {shown}."


def _stage(name: str) -> str:
    method, _, stage = name.partition(" ")
    if stage.startswith(ITERATION):
        return f"for each iteration of {method}"
    return f"for rows {stage} ({method})" if stage else f"for {method}"


def _fits(plan: Plan, memory: float, least: int) -> str:
    beyond = [line for line in plan.lines if line.shards >= least]
    others = [str(line.shards) for line in beyond if not plan.holds(line)]
    but = f", but not on {' or '.join(others)}" if others else ""
    more = " or more" if len(beyond) > 1 else ""
    return (
        f"It fits into {of_size(memory)} on {of_shards(least)}{more}{but}; "
        f"{of_size(plan.machine.reserve)} are left to the device itself."
    )


def _too_large(plan: Plan, memory: float) -> str:
    best, reserve = min(plan.lines, key=lambda line: line.peak), plan.machine.reserve
    told = (
        f"It does not fit into {of_size(memory)}: {of_shards(best.shards)} "
        f"need{'s' * (best.shards == 1)} {of_size(best.peak)}, and the device itself "
        f"{of_size(reserve)}."
    )
    # Where the device itself takes more than the bounds, no term of theirs is to blame.
    if best.peak < reserve:
        return told
    largest = max(best.terms, key=lambda term: best.terms[term])
    return f"{told} Most are {largest.value}: {ADVICE.get(largest, OTHER_ADVICE)}."
