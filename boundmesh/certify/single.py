"""The property that one input keeps its label, for `boundmesh verify --input`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from boundmesh.certify.inputs import classes_of, inputs_for, labels_of
from boundmesh.errors import BoundmeshError
from boundmesh.graph.forward import AsNeeded, forward
from boundmesh.graph.graph import Graph
from boundmesh.property import Property, Variable
from boundmesh.rational import array_of, radius_of


def keeps_label(
    graph: Graph,
    point: Any,
    eps: Any,
    label: int | None = None,
    norm: Any = "inf",
    clip: Any = None,
) -> Property:
    """Make the property that `label` has the largest score wherever the input is changed by `eps`.

    `point` is one input, in the shape of the network's input. Without a label it is the one that
    the network predicts. Raises BoundmeshError where they do not fit the network.
    """
    array = array_of(point, "the input")
    if array.size != graph[graph.input].size:
        raise BoundmeshError(
            f"the input has the shape {list(array.shape)}; the network takes one of "
            f"{list(graph.inputs[0].shape)}: certify takes several"
        )
    inputs = inputs_for(graph, array.reshape(1, *graph[graph.input].shape), norm, clip)
    classes = classes_of(graph)
    if label is None:
        label = predicted(graph, torch.from_numpy(inputs.points))
    (chosen,) = labels_of([label], 1, classes).tolist()
    prop = Property.largest(inputs.region(0, radius_of(eps)), chosen, classes)
    if len(graph.inputs) > 1 or len(graph.outputs) > 1:
        return prop
    ports = ("X", "input", graph.inputs[0].shape), ("Y", "output", graph.outputs[0].shape)
    return replace(prop, variables=tuple(Variable(*port, element_type="") for port in ports))


@torch.no_grad()
def predicted(graph: Graph, point: torch.Tensor) -> int:
    """Return the class with the largest score at a flat point `[1, inputs]`."""
    weights = AsNeeded(graph, torch.float64)
    scores = forward(graph, weights, point.reshape(1, *graph[graph.input].shape))
    return int(scores.flatten().argmax())
