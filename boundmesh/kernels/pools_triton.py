"""The Triton kernel of `fused_pools.py`. Importing it needs Triton, and compiling it a GPU."""

import triton
import triton.language as tl

from boundmesh.kernels.windows_triton import SPANS, _along, _cells, _tap, _where


@triton.jit(
    do_not_specialize=(
        "count", "size", "chunks", "rows_domain", "table_domain", "window0", "window1", "window2",
        "front0", "front1", "front2", *SPANS, *(f"of_{name}" for name in SPANS[2:]),
    )
)  # fmt: skip
def pooled(
    rows, table, places, out, count, size, chunks, rows_domain, table_domain,
    window0, window1, window2, front0, front1, front2,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    of_step0, of_step1, of_step2, of_shift0, of_shift1, of_shift2, of_whole0, of_whole1, of_whole2,
    kernel0: tl.constexpr, kernel1: tl.constexpr, kernel2: tl.constexpr,
    stride0: tl.constexpr, stride1: tl.constexpr, stride2: tl.constexpr,
    dilation0: tl.constexpr, dilation1: tl.constexpr, dilation2: tl.constexpr,
    WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Multiply rows `[window, features]` by one slope for each tap, and add overlaps up.

    The table has the slopes `[kernel, *of_whole, features]`. Each program handles BLOCK
    coefficients of one row, out of `size` chunks. Those at places that do not exist become zero.
    """
    program = tl.program_id(0).to(tl.int64)
    domain = program // count
    row = program % count
    rows += domain * rows_domain + row * (window0 * window1 * window2) * chunks * WIDE
    table += domain * table_domain
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
    total = tl.zeros([BLOCK // WIDE, WIDE], tl.float32)
    for t in tl.static_range(taps0 * taps1 * taps2):
        tap2, i2, meets2 = _tap(third, t % taps2, kernel2, stride2, dilation2, window2)
        tap1, i1, meets1 = _tap(second, t // taps2 % taps1, kernel1, stride1, dilation1, window1)
        tap0, i0, meets0 = _tap(leading, t // (taps2 * taps1), kernel0, stride0, dilation0, window0)
        place0, inside0 = _along(places, row, 0, of_step0, of_shift0, i0, of_whole0)
        place1, inside1 = _along(places, row, 1, of_step1, of_shift1, i1, of_whole1)
        place2, inside2 = _along(places, row, 2, of_step2, of_shift2, i2, of_whole2)
        meets = meets0 & meets1 & meets2 & inside0 & inside1 & inside2 & wanted
        index = ((i0 * window1 + i1) * window2 + i2) * chunks + chunk
        a = tl.load(rows + index[:, None] * WIDE + inner, mask=meets[:, None], other=0.0)
        tap = (tap0 * kernel1 + tap1) * kernel2 + tap2
        index = ((tap * of_whole0 + place0) * of_whole1 + place1) * of_whole2 + place2
        index = (index * chunks + chunk)[:, None] * WIDE + inner
        total += a * tl.load(table + index, mask=meets[:, None], other=0.0)
    index = at[:, None] * WIDE + inner
    tl.store(out + program * size * WIDE + index, total, mask=here[:, None])
