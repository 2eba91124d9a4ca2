"""The Triton kernels of `sloped_windows.py`. Importing them needs Triton, and compiling them a GPU.

The lines are those of `pieces_triton.py`. Coefficients `[rows, *window, features]` and maps
`[places, features]` have the features last. The features of a place are cut into chunks of WIDE, a
power of two that divides them, and lengths are counted in chunks.
"""

import triton
import triton.language as tl

from boundmesh.kernels.pieces_triton import _climb, _lines
from boundmesh.kernels.window_sums_triton import _store
from boundmesh.kernels.windows_triton import SPANS, _where

FREE = (
    "count", "size", "chunks", "neurons", "features", "length0", "rows_domain", "box_domain",
    "alpha_domain", "alpha_row", "length", "sizes_domain", "bias_domain", "error_domain", *SPANS,
)  # fmt: skip
ANYWHERE = (
    "alpha", "which", "onto_bias", "onto_error", "bias", "error", "of_bias", "index", "sums",
    "first_moment", "second_moment", "pace",
)  # fmt: skip


@triton.jit(do_not_specialize=FREE, do_not_specialize_on_alignment=ANYWHERE)
def pull_sloped(
    rows, lower, upper, which, alpha, sizes, places, onto_bias, onto_error, out, bias, error,
    slope, count, size, length, chunks, rows_domain, box_domain, alpha_domain, alpha_row,
    sizes_domain, bias_domain, error_domain,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    SIZES: tl.constexpr, ONTO_BIAS: tl.constexpr, ONTO_ERROR: tl.constexpr,
    DIVIDED: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute out = A⁺·below + A⁻·k and bias = ⟨A⁻, c⟩, and error = ⟨|A|, sizes⟩ if SIZES.

    Both sums are added to those from before if ONTO_BIAS and ONTO_ERROR. Each program handles
    `length` of the `size` chunks of one row.
    """
    program = tl.program_id(0).to(tl.int64)
    domain = program // count
    row = program % count
    rows += domain * rows_domain + row * size * WIDE
    out += program * size * WIDE
    lower += domain * box_domain
    upper += domain * box_domain
    alpha += domain * alpha_domain + row * alpha_row
    sizes += domain * sizes_domain
    inner = tl.arange(0, WIDE)[None, :]
    total = tl.zeros([BLOCK // WIDE, WIDE], tl.float32)
    errors = tl.zeros([BLOCK // WIDE, WIDE], tl.float32)
    begin = tl.program_id(1) * length
    for first in range(begin, tl.minimum(begin + length, size), BLOCK // WIDE):
        at = first + tl.arange(0, BLOCK // WIDE)
        here = (at < size)[:, None]
        index = at[:, None] * WIDE + inner
        a = tl.load(rows + index, mask=here, other=0.0)
        place, exists = _where(
            places, row, at, chunks, length1, length2, step0, step1, step2,
            shift0, shift1, shift2, whole0, whole1, whole2,
        )  # fmt: skip
        inside = here & exists[:, None]
        where = place[:, None] * WIDE + inner
        least = tl.load(lower + where, mask=inside, other=0.0)
        most = tl.load(upper + where, mask=inside, other=0.0)
        slot = tl.load(which + where, mask=inside, other=-1)
        _, _, _, chord, intercept, is_open = _lines(least, most, slope)
        known = tl.load(alpha + slot, mask=slot >= 0, other=0.0).to(tl.float32)
        below = tl.where(is_open, slope + (1 - slope) * known, chord)
        pulled = a * tl.where(a >= 0, below, chord)
        tl.store(out + index, tl.where(inside, pulled, 0.0), mask=here)
        total += tl.where(inside, tl.where(a >= 0, 0.0, a) * intercept, 0.0)
        if SIZES:
            errors += tl.abs(a) * tl.load(sizes + where, mask=inside, other=0.0)
    _store(total, onto_bias, bias, program, domain * bias_domain + row, ONTO_BIAS, DIVIDED)
    if SIZES:
        at_onto = domain * error_domain + row
        _store(errors, onto_error, error, program, at_onto, ONTO_ERROR, DIVIDED)


@triton.jit(do_not_specialize=FREE, do_not_specialize_on_alignment=ANYWHERE)
def push_sloped(
    rows, gradient, of_bias, lower, upper, which, alpha, places, out, first_moment, second_moment,
    pace, slope, count, size, chunks, rows_domain, box_domain, alpha_domain, alpha_row,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    ROWS: tl.constexpr, STEP: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of `pull_sloped` to the rows and to α.

    Each program handles BLOCK coefficients of one row. g and b are the gradients with respect to
    the pulled rows and to the bias. Each flag turns on one result:

        ROWS    out = g·(A ≥ 0 ? below : k) + (A < 0 ? b·c : 0)
        STEP    α takes a step of Adam along (1 − s)·A⁺·g, in place
    """
    program = tl.program_id(0).to(tl.int64)
    domain = program // count
    row = program % count
    at = tl.program_id(1) * (BLOCK // WIDE) + tl.arange(0, BLOCK // WIDE)
    here = (at < size)[:, None]
    inner = tl.arange(0, WIDE)[None, :]
    index = at[:, None] * WIDE + inner
    place, exists = _where(
        places, row, at, chunks, length1, length2, step0, step1, step2,
        shift0, shift1, shift2, whole0, whole1, whole2,
    )  # fmt: skip
    inside = here & exists[:, None]
    where = place[:, None] * WIDE + inner
    least = tl.load(lower + domain * box_domain + where, mask=inside, other=0.0)
    most = tl.load(upper + domain * box_domain + where, mask=inside, other=0.0)
    slot = tl.load(which + where, mask=inside, other=-1)
    has = slot >= 0
    own = domain * alpha_domain + row * alpha_row + slot
    _, _, _, chord, intercept, is_open = _lines(least, most, slope)
    a = tl.load(rows + domain * rows_domain + row * size * WIDE + index, mask=here, other=0.0)
    g = tl.load(gradient + program * size * WIDE + index, mask=inside, other=0.0)
    b = tl.load(of_bias + program)
    known = tl.load(alpha + own, mask=has, other=0.0).to(tl.float32)
    positive = a >= 0
    if ROWS:
        below = tl.where(is_open, slope + (1 - slope) * known, chord)
        back = g * tl.where(positive, below, chord) + tl.where(positive, 0.0, b * intercept)
        tl.store(out + program * size * WIDE + index, tl.where(inside, back, 0.0), mask=here)
    if STEP:
        rate, first_share, second_share = tl.load(pace), tl.load(pace + 1), tl.load(pace + 2)
        up = tl.where(is_open & positive, (1 - slope) * g * a, 0.0)
        _climb(
            alpha + own, first_moment + own, second_moment + own, known, up, has,
            rate, first_share, second_share,
        )  # fmt: skip


@triton.jit
def _coordinate(places, row, axis, step, shift, place, length):
    """Return the coordinate of a place in a row's window, and whether the window contains it."""
    first = tl.load(places + row * 3 + axis).to(tl.int32) * step + shift
    return place - first, (place >= first) & (place < first + length)


@triton.jit(do_not_specialize=FREE, do_not_specialize_on_alignment=ANYWHERE)
def sum_sloped(
    rows, gradient, of_bias, lower, upper, index, places, sums, slope, count, neurons, features,
    rows_domain, box_domain, length0,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    HEIGHT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sum the gradients to k and to c over rows, for the flat neurons `index` of the map.

    `lower` and `upper` are the bounds of these neurons. Each program handles HEIGHT rows of one
    domain and BLOCK neurons, and writes its sums to `sums`, from which `ends_of_pieces` computes
    gradients to the bounds.
    """
    blocks = tl.cdiv(count, HEIGHT)
    part = tl.program_id(0).to(tl.int64)
    domain = part // blocks
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < neurons
    least = tl.load(lower + domain * box_domain + at, mask=inside, other=0.0)
    most = tl.load(upper + domain * box_domain + at, mask=inside, other=0.0)
    _, _, _, _, _, is_open = _lines(least, most, slope)
    flat = tl.load(index + at, mask=inside, other=0).to(tl.int32)
    around = whole0 * whole1 * whole2
    feature = flat // around
    place = flat % around
    place2 = place % whole2
    place1 = place // whole2 % whole1
    place0 = place // (whole2 * whole1)
    size = (length0 * length1 * length2 * features).to(tl.int64)
    to_chord = tl.zeros([BLOCK], tl.float32)
    to_intercept = tl.zeros([BLOCK], tl.float32)
    top = (part % blocks) * HEIGHT
    for step in range(HEIGHT):
        row = top + step
        if row < count:
            at0, meets0 = _coordinate(places, row, 0, step0, shift0, place0, length0)
            at1, meets1 = _coordinate(places, row, 1, step1, shift1, place1, length1)
            at2, meets2 = _coordinate(places, row, 2, step2, shift2, place2, length2)
            meets = inside & meets0 & meets1 & meets2
            where = ((at0 * length1 + at1) * length2 + at2) * features + feature
            a = tl.load(rows + domain * rows_domain + row * size + where, mask=meets, other=0.0)
            g = tl.load(gradient + (domain * count + row) * size + where, mask=meets, other=0.0)
            b = tl.load(of_bias + domain * count + row)
            to_chord += tl.where(is_open & (a >= 0), 0.0, g * a)
            to_intercept += tl.where(a >= 0, 0.0, a) * b
    tl.store(sums + part * 2 * neurons + at, to_chord, mask=inside)
    tl.store(sums + (part * 2 + 1) * neurons + at, to_intercept, mask=inside)
