"""The Triton kernel of `fused_collect.py`. Importing it needs Triton, and compiling it a GPU."""

import triton
import triton.language as tl

from boundmesh.kernels.windows_triton import SPANS, _along


@triton.jit
def _within(place, distance, length):
    """Return True where the place at a distance from `place` lies within a length."""
    return (place + distance >= 0) & (place + distance < length)


@triton.jit(
    do_not_specialize=(
        "lines", "count", "window0", "window1", "window2", "front0", "front1", "front2",
        "length0", *SPANS,
    ),
    do_not_specialize_on_alignment=("factors", "vector"),
)  # fmt: skip
def collect(
    values, table, places, factors, vector, out, lines, count, channels, features,
    window0, window1, window2, front0, front1, front2, length0,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    kernel0: tl.constexpr, kernel1: tl.constexpr, kernel2: tl.constexpr,
    stride0: tl.constexpr, stride1: tl.constexpr, stride2: tl.constexpr,
    dilation0: tl.constexpr, dilation1: tl.constexpr, dilation2: tl.constexpr,
    VECTOR: tl.constexpr, HIGH: tl.constexpr, WIDE: tl.constexpr, DEEP: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute the convolution of values `[lines, *length, features]` with a table.

    The table is `[kernel, features, channels]`, and `out` is `[lines, *window, channels]`. The
    values begin at the place `front` of what the convolution reads, and are taken as zero at places
    that do not exist. If VECTOR, `factors[line]·vector` is added. A program computes HIGH places
    and WIDE channels.
    """
    across = tl.cdiv(channels, WIDE)
    place = (tl.program_id(0) // across) * HIGH + tl.arange(0, HIGH)
    column = (tl.program_id(0) % across) * WIDE + tl.arange(0, WIDE)
    here = place < lines * window0 * window1 * window2
    third = place % window2
    above = place // window2
    second = above % window1
    above = above // window1
    first = above % window0
    line = above // window0
    row = tl.where(here, line % count, 0)
    # Along each axis, the place of the values that the first tap meets, in their window and map.
    at2, at1 = third * stride2 - front2, second * stride1 - front1
    at0 = first * stride0 - front0
    place0, _ = _along(places, row, 0, step0, shift0, at0, whole0)
    place1, _ = _along(places, row, 1, step1, shift1, at1, whole1)
    place2, _ = _along(places, row, 2, step2, shift2, at2, whole2)
    blocks = tl.cdiv(features, DEEP)
    depth = tl.arange(0, DEEP)
    wanted = column < channels
    source = ((line.to(tl.int64) * length0 + at0) * length1 + at1) * length2 + at2
    left = values + (source * features)[:, None] + depth[None, :]
    right = table + depth[:, None] * channels + column[None, :]
    total = tl.zeros([HIGH, WIDE], tl.float32)
    for step in range(0, kernel0 * kernel1 * kernel2 * blocks):
        deep = (step % blocks) * DEEP
        tap = step // blocks
        on2 = (tap % kernel2) * dilation2
        on1 = (tap // kernel2 % kernel1) * dilation1
        on0 = (tap // (kernel2 * kernel1)) * dilation0
        meets = here & _within(at0, on0, length0) & _within(place0, on0, whole0)
        meets = meets & _within(at1, on1, length1) & _within(place1, on1, whole1)
        meets = meets & _within(at2, on2, length2) & _within(place2, on2, whole2)
        inside = deep + depth < features
        on = ((on0 * length1 + on1) * length2 + on2) * features + deep
        x = tl.load(left + on, mask=meets[:, None] & inside[None, :], other=0.0)
        taken = right + (tap * features + deep) * channels
        y = tl.load(taken, mask=inside[:, None] & wanted[None, :], other=0.0)
        total = tl.dot(x, y, total, input_precision=PRECISION)
    if VECTOR:
        factor = tl.load(factors + line, mask=here, other=0.0)
        own = tl.load(vector + column, mask=wanted, other=0.0)
        total += factor[:, None] * own[None, :]
    where = out + place.to(tl.int64)[:, None] * channels + column[None, :]
    tl.store(where, total, mask=here[:, None] & wanted[None, :])
