"""Describes a point that breaks a property as ONNX Runtime rounds, but not surely without."""

from __future__ import annotations

import numpy as np

from boundmesh.graph.graph import Graph
from boundmesh.operators.rounding import UNITS
from boundmesh.rational import decimal
from boundmesh.verdict import Counterexample

SHOWN = 4
"""So many coordinates of a point are written out."""


def of_unconfirmed(found: Counterexample, graph: Graph) -> str:
    """Describe what ONNX Runtime computes at a point, and which option accepts it.

    An option is named where the rounding of every operator is known.
    """
    types = [port.dtype for port in graph.inputs if port.dtype in UNITS]
    runs_in = max(types or ["float32"], key=UNITS.__getitem__)
    option = "" if graph.unbounded else f"; --rounding {runs_in} accepts it"
    return (
        f"as ONNX Runtime rounds, the input {_point(found.input)} breaks the property with the "
        f"output {_point(found.output)}, but in real arithmetic it does not surely do so{option}"
    )


def _point(values: np.ndarray) -> str:
    flat = values.reshape(-1).tolist()
    rest = [f"{len(flat) - SHOWN} more"] if len(flat) > SHOWN else []
    return f"({', '.join([*map(decimal, flat[:SHOWN]), *rest])})"
