"""The Triton kernels of `fused_windows.py`.

Importing them needs Triton, and compiling them needs a GPU. A window has three axes; those that a
map lacks have one place. Coefficients `[rows, *window, features]` and maps `[places, features]`
have the features last.
"""

import triton
import triton.language as tl

from boundmesh.kernels.pieces_triton import _lines


@triton.jit
def _along(places, row, axis, step, shift, coordinate, whole):
    """Return the place in the map of a coordinate in a row's window, and whether it exists."""
    place = tl.load(places + row * 3 + axis) * step + shift + coordinate
    return place, (place >= 0) & (place < whole)


@triton.jit
def _where(
    places, row, at, features, length1, length2,
    step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
):  # fmt: skip
    """Return the index in a map of the coefficients `at` of a row, and whether they exist."""
    feature = at % features
    cell = at // features
    third = cell % length2
    cell = cell // length2
    second = cell % length1
    place0, inside0 = _along(places, row, 0, step0, shift0, cell // length1, whole0)
    place1, inside1 = _along(places, row, 1, step1, shift1, second, whole1)
    place2, inside2 = _along(places, row, 2, step2, shift2, third, whole2)
    place = ((place0 * whole1 + place1) * whole2 + place2) * features + feature
    return place, inside0 & inside1 & inside2


SPANS = (
    "length1", "length2", "step0", "step1", "step2",
    "shift0", "shift1", "shift2", "whole0", "whole1", "whole2",
)  # fmt: skip


@triton.jit(
    do_not_specialize=(
        "count", "size", "features", "rows_domain", "values_domain", "onto_domain", *SPANS,
    ),
    do_not_specialize_on_alignment=("onto",),
)  # fmt: skip
def signed_sums(
    rows, below, above, places, onto, out, count, size, features, rows_domain, values_domain,
    onto_domain,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    EVERYWHERE: tl.constexpr, ONTO: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute out = ⟨A⁺, below⟩ + ⟨A⁻, above⟩, added to `onto` if ONTO.

    The values are maps, or one place's features for all places if EVERYWHERE. Each program handles
    one row of `size` coefficients. A coefficient that is NaN takes `above`.
    """
    program = tl.program_id(0).to(tl.int64)
    domain = program // count
    row = program % count
    rows += domain * rows_domain + row * size
    below += domain * values_domain
    above += domain * values_domain
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, size, BLOCK):
        at = first + tl.arange(0, BLOCK)
        here = at < size
        a = tl.load(rows + at, mask=here, other=0.0)
        if EVERYWHERE:
            place = at % features
            inside = here
        else:
            place, exists = _where(
                places, row, at, features, length1, length2, step0, step1, step2,
                shift0, shift1, shift2, whole0, whole1, whole2,
            )  # fmt: skip
            inside = here & exists
        low = tl.load(below + place, mask=inside, other=0.0)
        high = tl.load(above + place, mask=inside, other=0.0)
        total += a * tl.where(a >= 0, low, high)
    found = tl.sum(total)
    if ONTO:
        found += tl.load(onto + domain * onto_domain + row)
    tl.store(out + program, found)


@triton.jit(do_not_specialize=("count", "size", "features", "rows_domain", "box_domain", *SPANS))
def pull_pieces(
    rows, lower, upper, places, out, bias, slope, count, size, features, rows_domain, box_domain,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Pull rows back through CROWN's lines of `x` above zero and `slope·x` below.

    Each program handles one row. A coefficient that is NaN takes the line above.
    """
    program = tl.program_id(0).to(tl.int64)
    domain = program // count
    row = program % count
    rows += domain * rows_domain + row * size
    out += program * size
    lower += domain * box_domain
    upper += domain * box_domain
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, size, BLOCK):
        at = first + tl.arange(0, BLOCK)
        here = at < size
        a = tl.load(rows + at, mask=here, other=0.0)
        place, exists = _where(
            places, row, at, features, length1, length2, step0, step1, step2,
            shift0, shift1, shift2, whole0, whole1, whole2,
        )  # fmt: skip
        inside = here & exists
        l = tl.load(lower + place, mask=inside, other=0.0)  # noqa: E741
        u = tl.load(upper + place, mask=inside, other=0.0)
        _, _, _, chord, intercept, crosses = _lines(l, u, slope)
        below = tl.where(crosses, tl.where(u > -l, 1.0, slope), chord)
        pulled = a * tl.where(a >= 0, below, chord)
        tl.store(out + at, tl.where(exists, pulled, 0.0), mask=here)
        negative = tl.where(a >= 0, 0.0, a)
        total += tl.where(exists, negative * intercept, 0.0)
    tl.store(bias + program, tl.sum(total))


@triton.jit(
    do_not_specialize=(
        "first_row", "count", "size", "features", "window0", "window1", "window2",
        "kernel0", "kernel1", "kernel2", "stride0", "stride1", "stride2",
        "dilation0", "dilation1", "dilation2", *SPANS,
    )
)  # fmt: skip
def fold(
    columns, places, out, first_row, count, size, features, window0, window1, window2,
    kernel0, kernel1, kernel2, stride0, stride1, stride2, dilation0, dilation1, dilation2,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Add up the columns `[rows, *window, *kernel, features]` that overlap at each coefficient.

    Each program handles BLOCK coefficients of one row, out of `size`. Those at places that do not
    exist become zero. The columns begin at row `first_row` of all domains and rows.
    """
    part = tl.program_id(0).to(tl.int64)
    program = part + first_row
    row = program % count
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    here = at < size
    _, exists = _where(
        places, row, at, features, length1, length2, step0, step1, step2,
        shift0, shift1, shift2, whole0, whole1, whole2,
    )  # fmt: skip
    wanted = here & exists
    feature = at % features
    cell = at // features
    third = cell % length2
    cell = cell // length2
    second = cell % length1
    leading = cell // length1
    total = tl.zeros([BLOCK], tl.float32)
    kernel = kernel0 * kernel1 * kernel2
    for k in range(0, kernel):
        from2 = third - (k % kernel2) * dilation2
        from1 = second - (k // kernel2 % kernel1) * dilation1
        from0 = leading - (k // (kernel2 * kernel1)) * dilation0
        i2 = from2 // stride2
        i1 = from1 // stride1
        i0 = from0 // stride0
        meets = (from2 >= 0) & (from1 >= 0) & (from0 >= 0)
        meets = meets & (i2 * stride2 == from2) & (i1 * stride1 == from1) & (i0 * stride0 == from0)
        meets = meets & (i2 < window2) & (i1 < window1) & (i0 < window0) & wanted
        index = ((part * window0 + i0) * window1 + i1) * window2 + i2
        total += tl.load(columns + (index * kernel + k) * features + feature, mask=meets, other=0.0)
    tl.store(out + program * size + at, total, mask=here)
