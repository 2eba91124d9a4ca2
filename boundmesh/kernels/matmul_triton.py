"""The Triton kernel of `matmul.py`. Importing it needs Triton, and compiling it needs a GPU."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=("rows",))
def product(
    a, b, c, rows, wide, deep, a_row, a_deep, b_deep, b_wide, c_row,
    ADD: tl.constexpr, WHOLE: tl.constexpr,
    HIGH: tl.constexpr, WIDE: tl.constexpr, DEEP: tl.constexpr, BAND: tl.constexpr,
):  # fmt: skip
    """Compute C = A·B, or C += A·B if ADD. Each program computes one block of HIGH × WIDE numbers.

    WHOLE is True if DEEP divides `deep`. Programs are ordered by bands of BAND blocks of rows, so
    that the numbers they read stay in the cache.
    """
    place = tl.program_id(0)
    down, across = tl.cdiv(rows, HIGH), tl.cdiv(wide, WIDE)
    band = place // (BAND * across)
    tall = min(down - band * BAND, BAND)
    inside = place % (BAND * across)
    row = (band * BAND + inside % tall) * HIGH + tl.arange(0, HIGH)
    column = (inside // tall) * WIDE + tl.arange(0, WIDE)
    step = tl.arange(0, DEEP)
    at_row, at_column = (row % rows).to(tl.int64), (column % wide).to(tl.int64)
    left = a + at_row[:, None] * a_row + step[None, :] * a_deep
    right = b + step[:, None] * b_deep + at_column[None, :] * b_wide
    total = tl.zeros([HIGH, WIDE], tl.float32)
    for first in range(0, deep, DEEP):
        if WHOLE:
            x = tl.load(left)
            y = tl.load(right)
        else:
            x = tl.load(left, mask=(first + step)[None, :] < deep, other=0.0)
            y = tl.load(right, mask=(first + step)[:, None] < deep, other=0.0)
        total = tl.dot(x, y, total, input_precision="bf16x6")
        left += DEEP * a_deep
        right += DEEP * b_deep
    out = c + row[:, None].to(tl.int64) * c_row + column[None, :]
    here = (row[:, None] < rows) & (column[None, :] < wide)
    if ADD:
        total += tl.load(out, mask=here, other=0.0)
    tl.store(out, total, mask=here)
