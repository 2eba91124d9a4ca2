"""Writes a counterexample in standard formats; every number reads back as the same float64.

An input that no float64 holds is written exactly, as a decimal, where that is short.
"""

from __future__ import annotations

from boundmesh.property import Property, Variable
from boundmesh.rational import decimal
from boundmesh.verdict import Counterexample


def assignment(counterexample: Counterexample, property: Property) -> str:
    """Write a counterexample as in VNN-LIB 2.0, "Command-line assignment format".

    Each declared tensor, in the file's order, has a line `NAME TYPE [SHAPE]` and one line for each
    element, in row-major order. A property without declarations is written as one X and one Y.
    """
    variables = property.variables or (
        Variable("X", "input", (property.inputs,), "Real"),
        Variable("Y", "output", (property.outputs,), "Real"),
    )
    lines = []
    for variable in variables:
        flat = (
            counterexample.point if variable.role == "input" else counterexample.output.reshape(-1)
        )
        shape = ",".join(str(length) for length in variable.shape)
        lines.append(f"{variable.name} {variable.element_type or 'Real'} [{shape}]")
        lines += [decimal(flat[place]) for place in variable.where]
    return "\n".join(lines) + "\n"


def competition_assignment(counterexample: Counterexample) -> str:
    """Write a counterexample in VNN-COMP's form, `((X_0 0.5)` … `(Y_0 -1.25))`, a line each."""
    pairs = [f"(X_{place} {decimal(value)})" for place, value in enumerate(counterexample.point)]
    pairs += [
        f"(Y_{place} {decimal(value)})" for place, value in enumerate(counterexample.output.flat)
    ]
    return "(" + "\n".join(pairs) + ")\n"
