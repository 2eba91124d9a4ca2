"""The Triton kernels of `fused_windows.py`.

Importing them needs Triton, and compiling them needs a GPU. A window has three axes; those that a
map lacks have one place. Coefficients `[rows, *window, features]` and maps `[places, features]`
have the features last.

The features of a place are cut into chunks of WIDE, a power of two that divides them, so that the
place of a chunk is computed once for all of its features. Lengths are counted in chunks.
"""

import triton
import triton.language as tl


@triton.jit
def _along(places, row, axis, step, shift, coordinate, whole):
    """Return the place in the map of a coordinate in a row's window, and whether it exists."""
    first = tl.load(places + row * 3 + axis).to(tl.int32) * step + shift
    place = first + coordinate
    return place, (place >= 0) & (place < whole)


@triton.jit
def _cells(at, chunks, length1, length2):
    """Return the coordinates in a window of the chunks `at`, along three axes."""
    cell = at // chunks
    above = cell // length2
    return above // length1, above % length1, cell % length2


@triton.jit
def _where(
    places, row, at, chunks, length1, length2,
    step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
):  # fmt: skip
    """Return the index in a map of the chunks `at` of a row's window, and whether they exist."""
    leading, second, third = _cells(at, chunks, length1, length2)
    place0, inside0 = _along(places, row, 0, step0, shift0, leading, whole0)
    place1, inside1 = _along(places, row, 1, step1, shift1, second, whole1)
    place2, inside2 = _along(places, row, 2, step2, shift2, third, whole2)
    place = ((place0 * whole1 + place1) * whole2 + place2) * chunks + at % chunks
    return place, inside0 & inside1 & inside2


SPANS = (
    "length1", "length2", "step0", "step1", "step2",
    "shift0", "shift1", "shift2", "whole0", "whole1", "whole2",
)  # fmt: skip


@triton.jit
def _tap(place, number, kernel: tl.constexpr, stride: tl.constexpr, dilation: tl.constexpr, window):
    """Return one tap along an axis, the place of the window that it spreads to `place`, and if it
    exists. The taps are numbered in their order, without those that never meet the place."""
    if dilation > 1:
        tap = place * 0 + number
        distance = place - number * dilation
        source = distance // stride
        meets = (distance >= 0) & (source * stride == distance)
    else:
        tap = place % stride + stride * number
        source = place // stride - number
        meets = (source >= 0) & (tap < kernel)
    return tap, source, meets & (source < window)


@triton.jit(
    do_not_specialize=(
        "first_row", "count", "size", "chunks", "window0", "window1", "window2",
        "front0", "front1", "front2", *SPANS,
    )
)  # fmt: skip
def fold(
    columns, places, out, first_row, count, size, chunks, window0, window1, window2,
    front0, front1, front2,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    kernel0: tl.constexpr, kernel1: tl.constexpr, kernel2: tl.constexpr,
    stride0: tl.constexpr, stride1: tl.constexpr, stride2: tl.constexpr,
    dilation0: tl.constexpr, dilation1: tl.constexpr, dilation2: tl.constexpr,
    WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add up the columns `[rows, *window, *kernel, features]` that overlap at each coefficient.

    Each program handles BLOCK coefficients of one row, out of `size` chunks. Those at places that
    do not exist become zero. The columns begin at row `first_row` of all domains and rows, and
    `out` at the place `front` of what they reach. Along an axis without dilation, a place meets
    only the taps whose distance from it is a multiple of the stride.
    """
    part = tl.program_id(0).to(tl.int64)
    program = part + first_row
    row = program % count
    at = tl.program_id(1) * (BLOCK // WIDE) + tl.arange(0, BLOCK // WIDE)
    inner = tl.arange(0, WIDE)[None, :]
    here = at < size
    _, exists = _where(
        places, row, at, chunks, length1, length2, step0, step1, step2,
        shift0, shift1, shift2, whole0, whole1, whole2,
    )  # fmt: skip
    wanted = here & exists
    chunk = at % chunks
    leading, second, third = _cells(at, chunks, length1, length2)
    leading, second, third = leading + front0, second + front1, third + front2
    taps0: tl.constexpr = kernel0 if dilation0 > 1 else (kernel0 + stride0 - 1) // stride0
    taps1: tl.constexpr = kernel1 if dilation1 > 1 else (kernel1 + stride1 - 1) // stride1
    taps2: tl.constexpr = kernel2 if dilation2 > 1 else (kernel2 + stride2 - 1) // stride2
    kernel: tl.constexpr = kernel0 * kernel1 * kernel2
    columns += part * (window0 * window1 * window2) * kernel * chunks * WIDE
    total = tl.zeros([BLOCK // WIDE, WIDE], tl.float32)
    for t in tl.static_range(taps0 * taps1 * taps2):
        tap2, i2, meets2 = _tap(third, t % taps2, kernel2, stride2, dilation2, window2)
        tap1, i1, meets1 = _tap(second, t // taps2 % taps1, kernel1, stride1, dilation1, window1)
        tap0, i0, meets0 = _tap(leading, t // (taps2 * taps1), kernel0, stride0, dilation0, window0)
        meets = meets0 & meets1 & meets2 & wanted
        k = (tap0 * kernel1 + tap1) * kernel2 + tap2
        index = (((i0 * window1 + i1) * window2 + i2) * kernel + k) * chunks + chunk
        where = index[:, None].to(tl.int64) * WIDE + inner
        total += tl.load(columns + where, mask=meets[:, None], other=0.0)
    index = at[:, None] * WIDE + inner
    tl.store(out + program * size * WIDE + index, total, mask=here[:, None])


@triton.jit
def _inside(
    places, row, chunk, chunks, at0, at1, at2,
    step0, step1, step2, shift0, shift1, shift2, length0, length1, length2,
):  # fmt: skip
    """Return the chunk of a row's window at places of its map, and whether they lie in it."""
    cell0 = at0 - tl.load(places + row * 3).to(tl.int32) * step0 - shift0
    cell1 = at1 - tl.load(places + row * 3 + 1).to(tl.int32) * step1 - shift1
    cell2 = at2 - tl.load(places + row * 3 + 2).to(tl.int32) * step2 - shift2
    inside = (cell0 >= 0) & (cell1 >= 0) & (cell2 >= 0)
    inside = inside & (cell0 < length0) & (cell1 < length1) & (cell2 < length2)
    return ((cell0 * length1 + cell1) * length2 + cell2) * chunks + chunk, inside


@triton.jit(
    do_not_specialize=(
        "count", "size", "chunks", "one_size", "two_size", "one_domain", "two_domain", "length1",
        "length2", *(f"{name}{axis}" for name in ("step", "shift") for axis in range(3)),
        *(f"{side}_{name}{axis}" for side in ("one", "two")
          for name in ("step", "shift", "length") for axis in range(3)),
    )
)  # fmt: skip
def joined(
    one, two, places, out, count, size, chunks, one_size, two_size, one_domain, two_domain,
    length1, length2, step0, step1, step2, shift0, shift1, shift2,
    one_step0, one_step1, one_step2, one_shift0, one_shift1, one_shift2,
    one_length0, one_length1, one_length2,
    two_step0, two_step1, two_step2, two_shift0, two_shift1, two_shift2,
    two_length0, two_length1, two_length2,
    BOTH: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write rows in windows to windows that contain them, or the sum of two such rows if BOTH.

    Each program writes BLOCK coefficients of one row, out of `size` chunks.
    """
    program = tl.program_id(0).to(tl.int64)
    domain = program // count
    row = program % count
    at = tl.program_id(1) * (BLOCK // WIDE) + tl.arange(0, BLOCK // WIDE)
    inner = tl.arange(0, WIDE)[None, :]
    here = at < size
    chunk = at % chunks
    leading, second, third = _cells(at, chunks, length1, length2)
    at0 = tl.load(places + row * 3).to(tl.int32) * step0 + shift0 + leading
    at1 = tl.load(places + row * 3 + 1).to(tl.int32) * step1 + shift1 + second
    at2 = tl.load(places + row * 3 + 2).to(tl.int32) * step2 + shift2 + third
    source, inside = _inside(
        places, row, chunk, chunks, at0, at1, at2,
        one_step0, one_step1, one_step2, one_shift0, one_shift1, one_shift2,
        one_length0, one_length1, one_length2,
    )  # fmt: skip
    one += (domain * one_domain + row * one_size) * WIDE
    found = tl.load(one + source[:, None] * WIDE + inner, (here & inside)[:, None], other=0.0)
    if BOTH:
        source, inside = _inside(
            places, row, chunk, chunks, at0, at1, at2,
            two_step0, two_step1, two_step2, two_shift0, two_shift1, two_shift2,
            two_length0, two_length1, two_length2,
        )  # fmt: skip
        two += (domain * two_domain + row * two_size) * WIDE
        where = source[:, None] * WIDE + inner
        found += tl.load(two + where, (here & inside)[:, None], other=0.0)
    tl.store(out + program * size * WIDE + at[:, None] * WIDE + inner, found, mask=here[:, None])
