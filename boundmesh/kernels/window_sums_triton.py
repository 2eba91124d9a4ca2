"""The Triton kernels of `fused_window_sums.py`.

Importing them needs Triton, and compiling them needs a GPU. Coefficients and maps lie in memory as
`windows_triton.py` describes them. The second axis of a grid divides long rows into parts of BLOCK
coefficients. Each part then writes a sum of its own, and `add_parts` adds these up in their order.
"""

import triton
import triton.language as tl

from boundmesh.kernels.pieces_triton import _lines
from boundmesh.kernels.windows_triton import SPANS, _where

FREE = ("count", "size", "length", "chunks", "rows_domain", *SPANS)


@triton.jit
def _store(total, onto, out, program, at_onto, ONTO: tl.constexpr, DIVIDED: tl.constexpr):
    """Store the sum of a row, added to `onto` if ONTO, or the sum of a part of it if DIVIDED."""
    found = tl.sum(tl.sum(total, 1), 0)
    if DIVIDED:
        tl.store(out + program * tl.num_programs(1) + tl.program_id(1), found)
    else:
        if ONTO:
            found += tl.load(onto + at_onto)
        tl.store(out + program, found)


@triton.jit(
    do_not_specialize=(*FREE, "values_domain", "onto_domain"),
    do_not_specialize_on_alignment=("onto", "out"),
)  # fmt: skip
def signed_sums(
    rows, below, above, places, onto, out, count, size, length, chunks, rows_domain, values_domain,
    onto_domain,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    ONTO: tl.constexpr, DIVIDED: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute out = ⟨A⁺, below⟩ + ⟨A⁻, above⟩, added to `onto` if ONTO.

    Each program handles `length` of the `size` chunks of one row, BLOCK coefficients at a time. A
    coefficient that is NaN takes `above`.
    """
    program = tl.program_id(0).to(tl.int64)
    domain = program // count
    row = program % count
    rows += (domain * rows_domain + row * size) * WIDE
    below += domain * values_domain * WIDE
    above += domain * values_domain * WIDE
    inner = tl.arange(0, WIDE)[None, :]
    total = tl.zeros([BLOCK // WIDE, WIDE], tl.float32)
    begin = tl.program_id(1) * length
    for first in range(begin, tl.minimum(begin + length, size), BLOCK // WIDE):
        at = first + tl.arange(0, BLOCK // WIDE)
        here = at < size
        a = tl.load(rows + at[:, None] * WIDE + inner, mask=here[:, None], other=0.0)
        place, exists = _where(
            places, row, at, chunks, length1, length2, step0, step1, step2,
            shift0, shift1, shift2, whole0, whole1, whole2,
        )  # fmt: skip
        where = place[:, None] * WIDE + inner
        inside = (here & exists)[:, None]
        low = tl.load(below + where, mask=inside, other=0.0)
        high = tl.load(above + where, mask=inside, other=0.0)
        total += a * tl.where(a >= 0, low, high)
    _store(total, onto, out, program, domain * onto_domain + row, ONTO, DIVIDED)


@triton.jit(
    do_not_specialize=(*FREE, "sizes_domain", "bias_domain", "error_domain"),
    do_not_specialize_on_alignment=("onto_bias", "onto_error", "bias", "error"),
)  # fmt: skip
def row_sums(
    rows, features, sizes, places, onto_bias, onto_error, bias, error, count, size, length, chunks,
    rows_domain, sizes_domain, bias_domain, error_domain,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    FEATURES: tl.constexpr, SIZES: tl.constexpr, ONTO_BIAS: tl.constexpr, ONTO_ERROR: tl.constexpr,
    DIVIDED: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute bias = ⟨A, features⟩ if FEATURES, and error = ⟨|A|, sizes⟩ if SIZES.

    `features` are the same at all places, and `sizes` are maps. Both sums are added to those from
    before if ONTO_BIAS and ONTO_ERROR. Each program handles `length` chunks of one row.
    """
    program = tl.program_id(0).to(tl.int64)
    domain = program // count
    row = program % count
    rows += (domain * rows_domain + row * size) * WIDE
    sizes += domain * sizes_domain * WIDE
    inner = tl.arange(0, WIDE)[None, :]
    constants = tl.zeros([BLOCK // WIDE, WIDE], tl.float32)
    errors = tl.zeros([BLOCK // WIDE, WIDE], tl.float32)
    begin = tl.program_id(1) * length
    for first in range(begin, tl.minimum(begin + length, size), BLOCK // WIDE):
        at = first + tl.arange(0, BLOCK // WIDE)
        here = at < size
        a = tl.load(rows + at[:, None] * WIDE + inner, mask=here[:, None], other=0.0)
        if FEATURES:
            where = (at % chunks)[:, None] * WIDE + inner
            constants += a * tl.load(features + where, mask=here[:, None], other=0.0)
        if SIZES:
            place, exists = _where(
                places, row, at, chunks, length1, length2, step0, step1, step2,
                shift0, shift1, shift2, whole0, whole1, whole2,
            )  # fmt: skip
            where = place[:, None] * WIDE + inner
            own = tl.load(sizes + where, mask=(here & exists)[:, None], other=0.0)
            errors += tl.abs(a) * own
    if FEATURES:
        at_onto = domain * bias_domain + row
        _store(constants, onto_bias, bias, program, at_onto, ONTO_BIAS, DIVIDED)
    if SIZES:
        at_onto = domain * error_domain + row
        _store(errors, onto_error, error, program, at_onto, ONTO_ERROR, DIVIDED)


@triton.jit(
    do_not_specialize=(*FREE, "lines_domain", "sizes_domain", "bias_domain", "error_domain"),
    do_not_specialize_on_alignment=("onto_bias", "onto_error", "bias", "error"),
)  # fmt: skip
def pull_pieces(
    rows, below, above, intercept, sizes, places, onto_bias, onto_error, out, bias, error,
    count, size, length, chunks, rows_domain, lines_domain, sizes_domain, bias_domain, error_domain,
    length1, length2, step0, step1, step2, shift0, shift1, shift2, whole0, whole1, whole2,
    SIZES: tl.constexpr, ONTO_BIAS: tl.constexpr, ONTO_ERROR: tl.constexpr,
    DIVIDED: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute out = A⁺·below + A⁻·above, bias = ⟨A⁻, intercept⟩, and error = ⟨|A|, sizes⟩ if SIZES.

    Each program handles `length` of the `size` chunks of one row. A coefficient that is NaN takes
    the line above.
    """
    program = tl.program_id(0).to(tl.int64)
    domain = program // count
    row = program % count
    rows += (domain * rows_domain + row * size) * WIDE
    out += program * size * WIDE
    below += domain * lines_domain * WIDE
    above += domain * lines_domain * WIDE
    intercept += domain * lines_domain * WIDE
    sizes += domain * sizes_domain * WIDE
    inner = tl.arange(0, WIDE)[None, :]
    total = tl.zeros([BLOCK // WIDE, WIDE], tl.float32)
    errors = tl.zeros([BLOCK // WIDE, WIDE], tl.float32)
    begin = tl.program_id(1) * length
    for first in range(begin, tl.minimum(begin + length, size), BLOCK // WIDE):
        at = first + tl.arange(0, BLOCK // WIDE)
        here = at < size
        index = at[:, None] * WIDE + inner
        a = tl.load(rows + index, mask=here[:, None], other=0.0)
        place, exists = _where(
            places, row, at, chunks, length1, length2, step0, step1, step2,
            shift0, shift1, shift2, whole0, whole1, whole2,
        )  # fmt: skip
        where = place[:, None] * WIDE + inner
        inside = (here & exists)[:, None]
        low = tl.load(below + where, mask=inside, other=0.0)
        high = tl.load(above + where, mask=inside, other=0.0)
        constant = tl.load(intercept + where, mask=inside, other=0.0)
        pulled = a * tl.where(a >= 0, low, high)
        tl.store(out + index, tl.where(inside, pulled, 0.0), mask=here[:, None])
        total += tl.where(inside, tl.where(a >= 0, 0.0, a) * constant, 0.0)
        if SIZES:
            errors += tl.abs(a) * tl.load(sizes + where, mask=inside, other=0.0)
    _store(total, onto_bias, bias, program, domain * bias_domain + row, ONTO_BIAS, DIVIDED)
    if SIZES:
        at_onto = domain * error_domain + row
        _store(errors, onto_error, error, program, at_onto, ONTO_ERROR, DIVIDED)


@triton.jit(do_not_specialize=("size",))
def lines(lower, upper, out, slope, size, BLOCK: tl.constexpr):
    """Write CROWN's lines of `x` above zero and `slope·x` below, on bounds of `size` neurons.

    `out` is `[3, size]`: the slope below, the slope above, and the intercept above.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = at < size
    least = tl.load(lower + at, mask=here, other=0.0)
    most = tl.load(upper + at, mask=here, other=0.0)
    _, _, _, chord, intercept, crosses = _lines(least, most, slope)
    below = tl.where(crosses, tl.where(most > -least, 1.0, slope), chord)
    tl.store(out + at, below, mask=here)
    tl.store(out + size + at, chord, mask=here)
    tl.store(out + 2 * size + at, intercept, mask=here)


@triton.jit
def _added_up(
    sums, onto, out, lines, count, parts, onto_domain, ONTO: tl.constexpr, BLOCK: tl.constexpr
):
    line = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = line < lines
    total = tl.zeros([BLOCK], tl.float32)
    for part in range(0, parts):
        total += tl.load(sums + line.to(tl.int64) * parts + part, mask=here, other=0.0)
    if ONTO:
        domain = (line // count).to(tl.int64)
        total += tl.load(onto + domain * onto_domain + line % count, mask=here, other=0.0)
    tl.store(out + line, total, mask=here)


@triton.jit(
    do_not_specialize=("lines", "count", "parts", "first_domain", "second_domain"),
    do_not_specialize_on_alignment=("sums", "onto_first", "onto_second", "out"),
)  # fmt: skip
def add_parts(
    sums, onto_first, onto_second, out, lines, count, parts, first_domain, second_domain,
    ONTO_FIRST: tl.constexpr, ONTO_SECOND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add up the sums `[1 or 2, lines, parts]` of each row's parts in their order.

    The first are added to `onto_first` if ONTO_FIRST, and the second to `onto_second` likewise.
    """
    if tl.program_id(1) == 0:
        _added_up(sums, onto_first, out, lines, count, parts, first_domain, ONTO_FIRST, BLOCK)
    else:
        sums += lines.to(tl.int64) * parts
        out += lines
        _added_up(sums, onto_second, out, lines, count, parts, second_domain, ONTO_SECOND, BLOCK)
