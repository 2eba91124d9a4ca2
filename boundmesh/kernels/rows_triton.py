"""The Triton kernels of `fused_rows.py` and `fused_linear.py`.

Importing them needs Triton, and compiling them needs a GPU.
"""

import triton
import triton.language as tl


@triton.jit
def _taken(rows, below, above, at, inside):
    """Return coefficients and their lines: `below` where a coefficient is ≥ 0, else `above`.

    A coefficient that is NaN takes `above`.
    """
    a = tl.load(rows + at, mask=inside, other=0.0)
    low = tl.load(below + at, mask=inside, other=0.0)
    high = tl.load(above + at, mask=inside, other=0.0)
    return a, tl.where(a >= 0, low, high)


@triton.jit
def pull_rows(
    rows, below, above, shift, out, bias, count, size,
    below_domain, below_row, above_domain, above_row, shift_domain, shift_row,
    INTERCEPT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute out = A⁺·below + A⁻·above and bias = ⟨A⁻, shift⟩. Each program handles one row.

    A row has `size` coefficients. One that is NaN takes the line above, and both results are NaN.
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
        a, line = _taken(rows, below, above, at, inside)
        tl.store(out + at, a * line, mask=inside)
        if INTERCEPT:
            c = tl.load(shift + at, mask=inside, other=0.0)
            total += tl.where(a >= 0, 0.0, a) * c
    if INTERCEPT:
        tl.store(bias + place, tl.sum(total))


@triton.jit(
    do_not_specialize=("count", "rows_domain", "values_domain", "onto_domain"),
    do_not_specialize_on_alignment=("onto",),
)
def signed_sums(
    rows, below, above, onto, out, count, size, rows_domain, values_domain, onto_domain,
    ONTO: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute out = ⟨A⁺, below⟩ + ⟨A⁻, above⟩, added to `onto` if ONTO.

    Each program handles one row. A coefficient that is NaN takes `above`, so that the sum is NaN.
    """
    place = tl.program_id(0).to(tl.int64)
    domain = place // count
    row = place % count
    rows += domain * rows_domain + row * size
    below += domain * values_domain
    above += domain * values_domain
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, size, BLOCK):
        at = first + tl.arange(0, BLOCK)
        inside = at < size
        a, value = _taken(rows, below, above, at, inside)
        total += a * value
    found = tl.sum(total)
    if ONTO:
        found += tl.load(onto + domain * onto_domain + row)
    tl.store(out + place, found)


@triton.jit(do_not_specialize=("outputs",), do_not_specialize_on_alignment=("bias",))
def interval_rows(
    weight, bias, lower, upper, out_lower, out_upper, outputs, inputs, height,
    BIAS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute `W·c + b ± |W|·r`. Each program handles one output of one box.

    The stride from row to row of W is `height`.
    """
    output = tl.program_id(0).to(tl.int64)
    box = tl.program_id(1).to(tl.int64)
    middle = tl.zeros([BLOCK], tl.float32)
    spread = tl.zeros([BLOCK], tl.float32)
    for first in range(0, inputs, BLOCK):
        at = first + tl.arange(0, BLOCK)
        inside = at < inputs
        w = tl.load(weight + output * height + at, mask=inside, other=0.0)
        low = tl.load(lower + box * inputs + at, mask=inside, other=0.0)
        high = tl.load(upper + box * inputs + at, mask=inside, other=0.0)
        middle += w * ((high + low) * 0.5)
        spread += tl.abs(w) * ((high - low) * 0.5)
    center = tl.sum(middle)
    if BIAS:
        center += tl.load(bias + output)
    radius = tl.sum(spread)
    tl.store(out_lower + box * outputs + output, center - radius)
    tl.store(out_upper + box * outputs + output, center + radius)


@triton.jit(
    do_not_specialize=("low",),
    do_not_specialize_on_alignment=("bias", "index", "sign", "out_bias"),
)
def unit_rows(
    weight, bias, index, sign, out, out_bias, low, size, height,
    BIAS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute out = sign·W[i − low] and sign·b[i]. Each program handles BLOCK numbers of one row.

    The stride from row to row of W is `height`.
    """
    place = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    unit = tl.load(index + place)
    side = tl.load(sign + place)
    row = tl.load(weight + (unit - low) * height + at, mask=inside, other=0.0)
    tl.store(out + place * size + at, row * side, mask=inside)
    if BIAS:
        tl.store(out_bias + place, tl.load(bias + unit) * side, mask=tl.program_id(1) == 0)
