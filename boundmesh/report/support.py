"""Describes in words what of a network and of a property can be bounded."""

from __future__ import annotations

from collections.abc import Iterator

from boundmesh.graph.graph import Port, counted
from boundmesh.proof.infinite import Infinite
from boundmesh.property import Property
from boundmesh.read.query import Query
from boundmesh.read.survey import Survey
from boundmesh.report.words import of_property

SHOWN = 20
"""So many nodes or inputs are listed; the rest is counted."""


def of_survey(survey: Survey) -> Iterator[str]:
    """Describe what of a network can be bounded, one line for each fact."""
    for port in survey.inputs:
        yield f"  input     {of_port(port)}"
    if survey.graph is not None:
        for port in survey.graph.outputs:
            yield f"  output    {of_port(port)}"
    kinds = ", ".join(
        f"{count} {op}" for op, count in sorted(survey.operators.items(), key=lambda e: (-e[1], e))
    )
    constant = f"; {survey.constants} of constants" if survey.constants else ""
    yield f"  supported {kinds or 'no node'}{constant}"
    for refused in survey.refused[:SHOWN]:
        yield f"  refused   node '{refused.node}' ({refused.op}): {refused.why}"
        if refused.alternative:
            yield f"            instead: {refused.alternative}"
    yield from rest(len(survey.refused), "refused")
    for name in survey.unseen[:SHOWN]:
        yield f"  unchecked node '{name}' depends on a refused value of unknown shape"
    yield from rest(len(survey.unseen), "unchecked")
    if survey.open_axis:
        yield f"  open      {survey.open_axis}; only the types of operators were checked"
    if survey.problem:
        yield f"  refused   {survey.problem}"
    if survey.graph is not None and survey.graph.unbounded:
        ops = ", ".join(sorted(survey.graph.unbounded))
        yield f"  rounding  proofs hold in real arithmetic alone: how {ops} rounds is not known"


def rest(count: int, word: str) -> Iterator[str]:
    """Count the nodes that are not listed."""
    if count > SHOWN:
        yield f"  {word:<9} {counted(count - SHOWN, 'node')} more"


def of_port(port: Port) -> str:
    return f"{port.name} {port.dtype} {list(port.shape)}"


def of_query(query: Query, prop: Property) -> Iterator[str]:
    """Describe the networks, variables and conditions of a property."""
    names = [
        f"{network.name} ({network.relation} {network.other})" if network.other else network.name
        for network in query.networks
    ]
    listed = f", networks {', '.join(names)}" if names else ""
    yield f"  version   VNN-LIB {query.version}.0{listed}"
    for variable in query.variables:
        kind, shape = variable.element_type or "Real", list(variable.shape)
        name = f", which is '{variable.onnx_name}' of the network" if variable.onnx_name else ""
        yield f"  {variable.role:<9} {variable.name} {kind} {shape}{name}"
    for line in of_property(prop):
        yield f"  asks      {line}"
    if prop.products:
        yield f"  products  {counted(len(prop.products), 'product')} of variables"
    for warning in prop.warnings:
        yield f"  warning   {warning}"
    for place, text in enumerate(prop.unbounded.values()):
        if place == SHOWN:
            yield f"  unbounded {counted(len(prop.unbounded) - SHOWN, 'input')} more"
            break
        yield f"  unbounded {text}: it is searched for a counterexample, and no proof is possible"


def of_infinite(infinite: Infinite) -> str:
    """Describe a value whose bounds are infinite."""
    reach = " and ".join(f"[{low:.6g}, {high:.6g}]" for low, high in infinite.operands)
    return (
        f"  infinite  node '{infinite.node}' ({infinite.op}) has no finite interval on the first "
        f"region, as its operands reach {reach}; smaller regions may have one"
    )
