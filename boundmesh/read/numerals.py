"""Reads the numbers of a VNN-LIB file exactly."""

from __future__ import annotations

import math
import re
from decimal import Decimal, DecimalException
from fractions import Fraction

from boundmesh.errors import PropertyError
from boundmesh.rational import Exact

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# A decimal of the standard, without an exponent.
PLAIN = re.compile(r"-?(\d+\.?\d*|\.\d+)", re.ASCII)
# Numbers are exact, however long. One with more digits than this would only fill the memory.
DIGITS = 4000
# A decimal of so many characters is within the range of float64.
SHORT = 300
POWERS = [10**digits for digits in range(SHORT + 1)]
SMALLEST = Decimal((0, (1,), -2 * DIGITS))


def plain(text: str, sign: int = 1) -> Exact:
    """Read a decimal without an exponent exactly, times a sign."""
    whole, _, digits = text.partition(".")
    if not digits:
        return sign * int(whole)
    exact = Fraction(sign * int(whole + digits), POWERS[len(digits)])
    return exact.numerator if exact.denominator == 1 else exact


def number(text: str) -> Exact:
    """Read a number exactly; PropertyError if it exceeds float64's range or has too many digits."""
    if len(text) <= SHORT and "e" not in text and "E" not in text:
        return plain(text)
    if not math.isfinite(float(text)):
        raise PropertyError(f"{text:.40} is beyond the range of float64")
    try:
        written = Decimal(text)
    except DecimalException:
        # An exponent below −10¹⁸.
        written = SMALLEST
    if len(text) > DIGITS or (written and written.adjusted() < -DIGITS):
        raise PropertyError(f"{text:.40} has more than {DIGITS} digits; round it")
    exact = Fraction(written) if written else Fraction(0)
    return exact.numerator if exact.denominator == 1 else exact
