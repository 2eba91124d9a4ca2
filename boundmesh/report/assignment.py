"""Writes a counterexample in standard formats; every number reads back as the same float64.

What is written also breaks the property where it is read as exact decimals. The shortest decimal of
a float64 is off by up to half of its last place, which can be outside of the region, or on the
other side of a threshold. Then every number is written with all of its digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

import numpy as np

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
    inputs, outputs = decimals(counterexample, property)
    lines = []
    for variable in variables:
        flat = inputs if variable.role == "input" else outputs
        shape = ",".join(str(length) for length in variable.shape)
        lines.append(f"{variable.name} {variable.element_type or 'Real'} [{shape}]")
        lines += [flat[index] for index in variable.where]
    return "\n".join(lines) + "\n"


def competition_assignment(counterexample: Counterexample, property: Property) -> str:
    """Write a counterexample in VNN-COMP's form, `((X_0 0.5)` … `(Y_0 -1.25))`, a line each."""
    inputs, outputs = decimals(counterexample, property)
    pairs = [f"(X_{index} {value})" for index, value in enumerate(inputs)]
    pairs += [f"(Y_{index} {value})" for index, value in enumerate(outputs)]
    return "(" + "\n".join(pairs) + ")\n"


def decimals(counterexample: Counterexample, property: Property) -> tuple[list[str], list[str]]:
    """Return the flat input and the flat output of a counterexample as decimals."""
    point, output = counterexample.point.tolist(), counterexample.output.reshape(-1).tolist()
    short = list(map(decimal, point)), list(map(decimal, output))
    case = property.cases[counterexample.case]
    x, y = map(fractions, short)
    clause = case.clauses[counterexample.clause]
    if case.region.contains(x) and clause.holds(x, property.outputs_at(x, y)):
        return short
    return list(map(all_digits, point)), list(map(all_digits, output))


def fractions(texts: Iterable[str]) -> np.ndarray:
    """Return the exact values of decimals, as an array of objects; infinity stays a float."""
    values = [Fraction(text) if math.isfinite(float(text)) else float(text) for text in texts]
    return np.array(values, dtype=object)


def all_digits(value: float | Fraction) -> str:
    """Return a float as the decimal that equals it; a Fraction as `decimal` does."""
    if isinstance(value, Fraction) or not math.isfinite(value) or Fraction(decimal(value)) == value:
        return decimal(value)
    return str(Decimal(value))
