"""The Triton kernel of `fused.py`; importing it needs Triton, compiling it a GPU."""

import triton
import triton.language as tl


@triton.jit
def pull_rows(
    rows, below, above, shift, out, bias, count, size,
    below_domain, below_row, above_domain, above_row, shift_domain, shift_row,
    INTERCEPT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program a row: out = A⁺·below + A⁻·above, bias = ⟨A⁻, shift⟩; `size` coefficients each.

    A NaN coefficient is not ≥ 0, takes the line above, and stays NaN in both results.
    """
    place = tl.program_id(0).to(tl.int64)
    domain = place // count
    row = place % count
    rows += place * size
    out += place * size
    below += domain * below_domain + row * below_row
    above += domain * above_domain + row * above_row
    shift += domain * shift_domain + row * shift_row
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, size, BLOCK):
        at = first + tl.arange(0, BLOCK)
        inside = at < size
        a = tl.load(rows + at, mask=inside, other=0.0)
        low = tl.load(below + at, mask=inside, other=0.0)
        high = tl.load(above + at, mask=inside, other=0.0)
        positive = a >= 0
        tl.store(out + at, a * tl.where(positive, low, high), mask=inside)
        if INTERCEPT:
            c = tl.load(shift + at, mask=inside, other=0.0)
            total += tl.where(positive, 0.0, a) * c
    if INTERCEPT:
        tl.store(bias + place, tl.sum(total))
