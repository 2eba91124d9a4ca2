"""Reads the numbers that users give, in any form, as exact numbers."""

from __future__ import annotations

import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from boundmesh.errors import PropertyError
from boundmesh.rational.numbers import LARGEST, WHOLE, decimal


def unwrapped(number: Any) -> Any:
    """Return the Python number that a scalar of NumPy, or an array or tensor without axes, holds.

    Anything else is returned as it is.
    """
    if isinstance(number, np.generic):
        return number.item()
    torch = sys.modules.get("torch")
    scalar = isinstance(number, np.ndarray) or (torch and isinstance(number, torch.Tensor))
    return number.item() if scalar and number.ndim == 0 else number


def rational(number: object, what: str) -> Fraction:
    """Return the number as a Fraction, exactly.

    Raises PropertyError, which names `what` the number is, for anything but a finite real number
    within the range of float64.
    """
    given = unwrapped(number)
    exact: Fraction | None = None
    if isinstance(given, int | float | Decimal | Fraction):
        try:
            exact = Fraction(given)
        except (ValueError, OverflowError):
            exact = None
    if exact is not None and abs(exact) <= LARGEST:
        return exact
    met = decimal(exact) if exact is not None else f"{given!r:.80}"
    raise PropertyError(f"{what} is {met}; expected a finite number within float64's range")


def radius_of(radius: Any, what: str = "eps") -> float | Fraction:
    """Return a radius exactly: a number, or text such as `8/255` or `0.1`.

    The result is a float where one holds it. Raises PropertyError for anything else, and for a
    negative radius.
    """
    exact = number_of(radius, what)
    if exact < 0:
        raise PropertyError(f"{what} is {radius!r:.80}; expected a number ≥ 0")
    near = float(exact)
    return near if Fraction(near) == exact else exact


def number_of(value: Any, what: str) -> Fraction:
    """Return a number, or text such as `8/255`, exactly; raise PropertyError for others."""
    if isinstance(value, str):
        try:
            value = Fraction(value)
        except (ValueError, ZeroDivisionError):
            raise PropertyError(
                f"{what} is '{value}'; expected a number such as 0.03 or 8/255"
            ) from None
    elif not isinstance(value, int | float | Fraction):
        array = array_of(value, what)
        value = array.reshape(-1)[0] if array.size == 1 else value
    return rational(value, what)


def without_numbers(values: Any) -> str:
    """Return in words why an array or a tensor does not hold a real number at every place.

    The result is empty for a tensor that does, and for anything else, which may be no array at all.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        return "an array some of whose elements are masked"
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(values, torch.Tensor):
        return ""
    kinds = {
        "a tensor on the device meta, which holds no numbers": values.is_meta,
        "a nested tensor": values.is_nested,
        "a sparse tensor": not values.is_nested and values.layout != torch.strided,
        "a quantized tensor": values.is_quantized,
        "a tensor of complex numbers": values.is_complex(),
    }
    return next((kind for kind, met in kinds.items() if met), "")


def array_of(values: Any, what: str) -> np.ndarray:
    """Return numbers, sequences, arrays or tensors as one array.

    It is a float64 array where that is exact, else an object array of Fractions. Raises
    PropertyError, which names `what` the values are, for anything that is no array of real numbers.
    """
    torch = sys.modules.get("torch")
    if kind := without_numbers(values):
        raise PropertyError(f"{what} is {kind}; expected real numbers of one shape")
    if torch is not None and isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        raise PropertyError(f"{what} is no array; expected numbers of one shape") from None
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        return array.astype(np.float64, copy=False)
    if array.dtype.kind in "biu":
        if not array.size or max(abs(int(array.min())), abs(int(array.max()))) <= WHOLE:
            return array.astype(np.float64)
        array = array.astype(object)
    if array.dtype.kind != "O":
        raise PropertyError(
            f"{what} has elements of type {array.dtype}; expected real numbers, at most float64"
        )
    exact = [rational(value, f"an element of {what}") for value in array.reshape(-1).tolist()]
    fractions = np.empty(len(exact), dtype=object)
    fractions[:] = exact
    return fractions.reshape(array.shape)
