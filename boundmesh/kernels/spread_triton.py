"""The Triton kernel of `fused_spread.py`. Importing it needs Triton, and compiling it a GPU."""

import triton
import triton.language as tl

from boundmesh.kernels.windows_triton import SPANS, _along


@triton.jit(
    do_not_specialize=(
        "lines", "count", "window0", "window1", "window2", "front0", "front1", "front2", "length0",
        *SPANS,
    )
)  # fmt: skip
def spread(
    rows, table, places, out, lines, count, channels, features, window0, window1, window2,
    front0, front1, front2, length0,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    kernel0: tl.constexpr, kernel1: tl.constexpr, kernel2: tl.constexpr,
    stride0: tl.constexpr, stride1: tl.constexpr, stride2: tl.constexpr,
    dilation0: tl.constexpr, dilation1: tl.constexpr, dilation2: tl.constexpr,
    HIGH: tl.constexpr, WIDE: tl.constexpr, DEEP: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute the transposed convolution of rows `[lines, *window, channels]` with a table.

    The table is `[kernel, channels, features]`, and `out` is `[lines, *length, features]`, which
    begins at the place `front` of the transposed convolution. Places of the same remainder r after
    division by the stride read the same taps `r + stride·j` of the kernel; each remainder is one
    index of the grid's second axis. A program computes HIGH places and WIDE features. Places that
    do not exist become zero.
    """
    remainder2 = tl.program_id(1) % stride2
    remainder1 = tl.program_id(1) // stride2 % stride1
    remainder0 = tl.program_id(1) // (stride2 * stride1)
    begin0 = (front0 - remainder0 + stride0 - 1) // stride0
    long0 = (front0 + length0 - remainder0 + stride0 - 1) // stride0 - begin0
    begin1 = (front1 - remainder1 + stride1 - 1) // stride1
    long1 = (front1 + length1 - remainder1 + stride1 - 1) // stride1 - begin1
    begin2 = (front2 - remainder2 + stride2 - 1) // stride2
    long2 = (front2 + length2 - remainder2 + stride2 - 1) // stride2 - begin2
    across = tl.cdiv(features, WIDE)
    tall = lines * long0 * long1 * long2
    place = (tl.program_id(0) // across) * HIGH + tl.arange(0, HIGH)
    column = (tl.program_id(0) % across) * WIDE + tl.arange(0, WIDE)
    here = place < tall
    # A remainder that no place has leaves nothing to compute, and must not be divided by.
    long0, long1, long2 = tl.maximum(long0, 1), tl.maximum(long1, 1), tl.maximum(long2, 1)
    third = place % long2 + begin2
    above = place // long2
    second = above % long1 + begin1
    above = above // long1
    first = above % long0 + begin0
    line = above // long0
    at0 = first * stride0 + remainder0 - front0
    at1 = second * stride1 + remainder1 - front1
    at2 = third * stride2 + remainder2 - front2
    row = tl.where(here, line % count, 0)
    _, inside0 = _along(places, row, 0, step0, shift0, at0, whole0)
    _, inside1 = _along(places, row, 1, step1, shift1, at1, whole1)
    _, inside2 = _along(places, row, 2, step2, shift2, at2, whole2)
    exists = here & inside0 & inside1 & inside2
    taps0 = (kernel0 - remainder0 + stride0 - 1) // stride0
    taps1 = (kernel1 - remainder1 + stride1 - 1) // stride1
    taps2 = (kernel2 - remainder2 + stride2 - 1) // stride2
    blocks = tl.cdiv(channels, DEEP)
    depth = tl.arange(0, DEEP)
    total = tl.zeros([HIGH, WIDE], tl.float32)
    for step in range(0, taps0 * taps1 * taps2 * blocks):
        deep = (step % blocks) * DEEP + depth
        tap = step // blocks
        tap2 = tap % taps2
        tap1 = tap // taps2 % taps1
        tap0 = tap // (taps2 * taps1)
        from0 = first - tap0 * (dilation0 if stride0 == 1 else 1)
        from1 = second - tap1 * (dilation1 if stride1 == 1 else 1)
        from2 = third - tap2 * (dilation2 if stride2 == 1 else 1)
        meets = exists & (from0 >= 0) & (from1 >= 0) & (from2 >= 0)
        meets = meets & (from0 < window0) & (from1 < window1) & (from2 < window2)
        source = ((line.to(tl.int64) * window0 + from0) * window1 + from1) * window2 + from2
        left = rows + source[:, None] * channels + deep[None, :]
        x = tl.load(left, mask=meets[:, None] & (deep < channels)[None, :], other=0.0)
        tap = (remainder0 + stride0 * tap0) * kernel1 + remainder1 + stride1 * tap1
        tap = tap * kernel2 + remainder2 + stride2 * tap2
        right = table + (tap * channels + deep)[:, None] * features + column[None, :]
        y = tl.load(
            right, mask=(deep < channels)[:, None] & (column < features)[None, :], other=0.0
        )
        total = tl.dot(x, y, total, input_precision=PRECISION)
    target = ((line.to(tl.int64) * length0 + at0) * length1 + at1) * length2 + at2
    where = out + target[:, None] * features + column[None, :]
    tl.store(where, total, mask=here[:, None] & (column < features)[None, :])
