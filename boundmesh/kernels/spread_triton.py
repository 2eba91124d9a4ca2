"""The Triton kernels of `fused_spread.py`. Importing them needs Triton; compiling needs a GPU."""

import triton
import triton.language as tl

from boundmesh.kernels.windows_triton import SPANS, _along


@triton.jit
def _three(x):
    """Return three bfloat16 numbers whose sum is x."""
    high = x.to(tl.bfloat16)
    rest = x - high.to(tl.float32)
    middle = rest.to(tl.bfloat16)
    return high, middle, (rest - middle.to(tl.float32)).to(tl.bfloat16)


@triton.jit(do_not_specialize=("channels", "features", "taps", "size"))
def parts(weight, out, channels, features, taps, size, BLOCK: tl.constexpr):
    """Write W `[channels, features, taps]` to `[3, taps, channels, features]` in bfloat16.

    The sum over the first axis of the result is W. Each program writes BLOCK of the `size` numbers.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = at < size
    above = at // features
    source = (above % channels * features + at % features) * taps + above // channels
    high, middle, low = _three(tl.load(weight + source, mask=here, other=0.0))
    tl.store(out + at, high, mask=here)
    tl.store(out + size + at, middle, mask=here)
    tl.store(out + 2 * size + at, low, mask=here)


@triton.jit(
    do_not_specialize=(
        "lines", "count", "window0", "window1", "window2", "front0", "front1", "front2", "length0",
        *SPANS,
    )
)  # fmt: skip
def spread(
    rows, table, places, out, lines, count, channels, features, table_size,
    window0, window1, window2, front0, front1, front2, length0,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    kernel0: tl.constexpr, kernel1: tl.constexpr, kernel2: tl.constexpr,
    stride0: tl.constexpr, stride1: tl.constexpr, stride2: tl.constexpr,
    dilation0: tl.constexpr, dilation1: tl.constexpr, dilation2: tl.constexpr,
    HIGH: tl.constexpr, WIDE: tl.constexpr, DEEP: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Compute the transposed convolution of rows `[lines, *window, channels]` with a table.

    The table is `[kernel, channels, features]`, of `table_size` numbers, or the three PARTS of it
    that `parts` writes. `out` is `[lines, *length, features]`, which begins at the place `front` of
    the transposed convolution. Places of the same remainder r after division by the stride read the
    same taps `r + stride·j` of the kernel; each remainder is one index of the grid's second axis. A
    program computes HIGH places and WIDE features. Places that do not exist become zero.

    With PARTS the six largest products of parts are computed, each exact. They are added up from
    the smallest to the largest for DEEP channels, and then added to the total.
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
    target = ((line.to(tl.int64) * length0 + at0) * length1 + at1) * length2 + at2
    exists = here & inside0 & inside1 & inside2
    taps0 = (kernel0 - remainder0 + stride0 - 1) // stride0
    taps1 = (kernel1 - remainder1 + stride1 - 1) // stride1
    taps2 = (kernel2 - remainder2 + stride2 - 1) // stride2
    blocks = tl.cdiv(channels, DEEP)
    depth = tl.arange(0, DEEP)
    wanted = column < features
    source = ((line.to(tl.int64) * window0 + first) * window1 + second) * window2 + third
    left = rows + (source * channels)[:, None] + depth[None, :]
    right = table + depth[:, None] * features + column[None, :]
    total = tl.zeros([HIGH, WIDE], tl.float32)
    for step in range(0, taps0 * taps1 * taps2 * blocks):
        deep = (step % blocks) * DEEP
        tap = step // blocks
        tap2 = tap % taps2
        tap1 = tap // taps2 % taps1
        tap0 = tap // (taps2 * taps1)
        back0 = tap0 * (dilation0 if stride0 == 1 else 1)
        back1 = tap1 * (dilation1 if stride1 == 1 else 1)
        back2 = tap2 * (dilation2 if stride2 == 1 else 1)
        meets = exists & (first >= back0) & (second >= back1) & (third >= back2)
        meets = meets & (first - back0 < window0)
        meets = meets & (second - back1 < window1) & (third - back2 < window2)
        back = ((back0 * window1 + back1) * window2 + back2) * channels - deep
        inside = deep + depth < channels
        x = tl.load(left - back, mask=meets[:, None] & inside[None, :], other=0.0)
        tap = (remainder0 + stride0 * tap0) * kernel1 + remainder1 + stride1 * tap1
        tap = tap * kernel2 + remainder2 + stride2 * tap2
        factors = right + (tap * channels + deep) * features
        both = inside[:, None] & wanted[None, :]
        y = tl.load(factors, mask=both, other=0.0)
        if PARTS:
            x1, x2, x3 = _three(x)
            y2 = tl.load(factors + table_size, mask=both, other=0.0)
            y3 = tl.load(factors + 2 * table_size, mask=both, other=0.0)
            found = tl.dot(x2, y2)
            found = tl.dot(x3, y, found)
            found = tl.dot(x1, y3, found)
            found = tl.dot(x2, y, found)
            found = tl.dot(x1, y2, found)
            total += tl.dot(x1, y, found)
        else:
            total = tl.dot(x, y, total, input_precision="ieee")
    where = out + target[:, None] * features + column[None, :]
    tl.store(where, total, mask=here[:, None] & wanted[None, :])
