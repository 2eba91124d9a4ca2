"""The Triton kernels of `pieces.py`. Importing them needs Triton, and compiling them needs a GPU.

The function f is x above zero and s·x below. On bounds that are cut at zero, l ≤ 0 ≤ u, its lines
are:

    chord k = s + (1 − s)·u/(u − l), intercept c = (s − k)·l; below s + (1 − s)·α where l < 0 < u

`places` holds the index of each neuron's α and, if given, of its `own` bounds. −1 stands for none.
Without ALPHA, α is that of CROWN: 1 where u > −l, else 0. A bound that is NaN stays NaN, because it
compares as neither above nor below zero, so that no clamp replaces it.
"""

import triton
import triton.language as tl

# Triton compiles no new version of a kernel for other values of these numbers (FREE), or for other
# alignments of these pointers (ANYWHERE).
FREE = (
    "count", "blocks", "rows_domain", "box_domain", "own_domain", "alpha_domain", "alpha_row",
    "splits_domain", "onto_domain",
)  # fmt: skip
ANYWHERE = (
    "own_lower", "own_upper", "alpha", "places", "beta", "splits", "of_bias", "onto", "bias",
    "first_moment", "second_moment", "pace", "up_alpha", "up_beta",
)  # fmt: skip


@triton.jit
def _lines(lower, upper, slope):
    """Return l, u, u − l, the slope and intercept of the chord, and a mask of unstable neurons."""
    low = tl.where(lower > 0, 0.0, lower)
    high = tl.where(upper < 0, 0.0, upper)
    width = high - low
    share = tl.div_rn(high, tl.where(width == 0, 1.0, width))
    chord = tl.where(share == 1, share, slope + (1 - slope) * share)
    return low, high, width, chord, (slope - chord) * low, (low < 0) & (high > 0)


@triton.jit
def _climb(alpha, first, second, known, up, has, rate, first_share, second_share):
    """Move α from `known` by one step of Adam along the gradient `up`, in place; NaN moves nothing.

    `first` and `second` point to the moments, which are stored in bfloat16, and α in float16.
    """
    m = tl.load(first, mask=has, other=0.0).to(tl.float32)
    v = tl.load(second, mask=has, other=0.0).to(tl.float32)
    m += (up - m) * (1 - 0.9)
    v = v * 0.999 + up * up * (1 - 0.999)
    tl.store(first, m.to(tl.bfloat16), mask=has)
    tl.store(second, v.to(tl.bfloat16), mask=has)
    length = tl.sqrt_rn(tl.div_rn(v, second_share)) + 1e-12
    change = tl.div_rn(tl.div_rn(m, first_share), length) * rate
    moved = known + tl.where(change == change, change, 0.0)
    moved = tl.where(moved < 0, 0.0, tl.where(moved > 1, 1.0, moved))
    tl.store(alpha, moved.to(tl.float16), mask=has)


@triton.jit(do_not_specialize=FREE, do_not_specialize_on_alignment=ANYWHERE)
def pull_pieces(
    rows, lower, upper, own_lower, own_upper, alpha, places, beta, splits, onto, out, bias,
    count, size, slope,
    rows_domain, rows_row, box_domain, own_domain, alpha_domain, alpha_row, splits_domain,
    onto_domain,
    ALPHA: tl.constexpr, OWN: tl.constexpr, SPLITS: tl.constexpr, ONTO: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute out = A⁺·below + A⁻·k − β·split and bias = ⟨A⁻, c⟩, added to `onto` if ONTO.

    Each program handles one row.
    """
    place = tl.program_id(0).to(tl.int64)
    domain = place // count
    row = place % count
    rows += domain * rows_domain + row * rows_row
    out += place * size
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, size, BLOCK):
        at = first + tl.arange(0, BLOCK)
        inside = at < size
        a = tl.load(rows + at, mask=inside, other=0.0)
        least = tl.load(lower + domain * box_domain + at, mask=inside, other=0.0)
        most = tl.load(upper + domain * box_domain + at, mask=inside, other=0.0)
        if ALPHA:
            which = tl.load(places + at, mask=inside, other=-1)
        if OWN:
            least = tl.load(own_lower + domain * own_domain + which, mask=which >= 0, other=least)
            most = tl.load(own_upper + domain * own_domain + which, mask=which >= 0, other=most)
        low, high, _, chord, intercept, is_open = _lines(least, most, slope)
        if ALPHA:
            own = domain * alpha_domain + row * alpha_row + which
            known = tl.load(alpha + own, mask=which >= 0, other=0.0).to(tl.float32)
        else:
            known = tl.where(high > -low, 1.0, 0.0)
        below = tl.where(is_open, slope + (1 - slope) * known, chord)
        pulled = a * tl.where(a >= 0, below, chord)
        if SPLITS:
            side = tl.load(splits + domain * splits_domain + which, mask=which >= 0, other=0)
            pulled -= tl.load(beta + own, mask=which >= 0, other=0.0) * side.to(tl.float32)
        tl.store(out + at, pulled, mask=inside)
        total += tl.where(a >= 0, 0.0, a) * intercept
    found = tl.sum(total)
    if ONTO:
        found += tl.load(onto + domain * onto_domain + row)
    tl.store(bias + place, found)


@triton.jit(do_not_specialize=FREE, do_not_specialize_on_alignment=ANYWHERE)
def push_pieces(
    rows, gradient, of_bias, lower, upper, own_lower, own_upper, alpha, places, beta, splits,
    out, sums, first_moment, second_moment, pace, up_alpha, up_beta,
    count, size, slope, blocks,
    rows_domain, rows_row, box_domain, own_domain, alpha_domain, alpha_row, splits_domain,
    ALPHA: tl.constexpr, OWN: tl.constexpr, SPLITS: tl.constexpr,
    ROWS: tl.constexpr, ENDS: tl.constexpr, STEP: tl.constexpr, NOTE: tl.constexpr,
    HEIGHT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of `pull_pieces`.

    Each program handles HEIGHT rows of one domain and BLOCK neurons. g and b are the gradients with
    respect to the pulled rows and to the bias. Each flag turns on one result:

        ROWS    out = g·(A ≥ 0 ? below : k) + (A < 0 ? b·c : 0)
        STEP    α takes a step of Adam along (1 − s)·A⁺·g, in place
        NOTE    that gradient is written to up_alpha, and −split·g to up_beta
        ENDS    the gradients to k and to c, summed over rows, are written to sums, from which
                `ends_of_pieces` computes gradients to the bounds
    """
    part = tl.program_id(0).to(tl.int64)
    domain = part // blocks
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    least = tl.load(lower + domain * box_domain + at, mask=inside, other=0.0)
    most = tl.load(upper + domain * box_domain + at, mask=inside, other=0.0)
    if ALPHA:
        which = tl.load(places + at, mask=inside, other=-1)
        has = which >= 0
    if OWN:
        least = tl.load(own_lower + domain * own_domain + which, mask=has, other=least)
        most = tl.load(own_upper + domain * own_domain + which, mask=has, other=most)
    low, high, _, chord, intercept, is_open = _lines(least, most, slope)
    crown = tl.where(high > -low, 1.0, 0.0)
    if STEP:
        rate, first_share, second_share = tl.load(pace), tl.load(pace + 1), tl.load(pace + 2)
    if SPLITS:
        side = tl.load(splits + domain * splits_domain + which, mask=has, other=0).to(tl.float32)
    to_chord = tl.zeros([BLOCK], tl.float32)
    to_intercept = tl.zeros([BLOCK], tl.float32)
    top = (part % blocks) * HEIGHT
    for step in range(HEIGHT):
        row = top + step
        if row < count:
            flat = (domain * count + row) * size + at
            a = tl.load(rows + domain * rows_domain + row * rows_row + at, mask=inside, other=0.0)
            g = tl.load(gradient + flat, mask=inside, other=0.0)
            b = tl.load(of_bias + domain * count + row)
            known = crown
            if ALPHA:
                own = domain * alpha_domain + row * alpha_row + which
                known = tl.load(alpha + own, mask=has, other=0.0).to(tl.float32)
            below = tl.where(is_open, slope + (1 - slope) * known, chord)
            positive = a >= 0
            if ROWS:
                back = g * tl.where(positive, below, chord)
                tl.store(out + flat, back + tl.where(positive, 0.0, b * intercept), mask=inside)
            product = g * a
            rising = is_open & positive
            up = tl.where(rising, (1 - slope) * product, 0.0)
            if NOTE:
                tl.store(up_alpha + own, up, mask=has)
                if SPLITS:
                    tl.store(up_beta + own, -side * g, mask=has)
            if STEP:
                _climb(
                    alpha + own, first_moment + own, second_moment + own, known, up, has,
                    rate, first_share, second_share,
                )  # fmt: skip
            if ENDS:
                to_chord += tl.where(rising, 0.0, product)
                to_intercept += tl.where(positive, 0.0, a) * b
    if ENDS:
        tl.store(sums + part * 2 * size + at, to_chord, mask=inside)
        tl.store(sums + (part * 2 + 1) * size + at, to_intercept, mask=inside)


@triton.jit(do_not_specialize=FREE, do_not_specialize_on_alignment=ANYWHERE)
def ends_of_pieces(
    sums, lower, upper, to_lower, to_upper, size, slope, blocks, box_domain, BLOCK: tl.constexpr
):
    """Compute the gradients to l and u. They are zero where the sign of a neuron is known.

    Each program handles BLOCK neurons of one domain, and adds the `sums` of all blocks of rows in
    their order.

        ∂k/∂l = (1 − s)·u/(u − l)²    ∂k/∂u = −(1 − s)·l/(u − l)²    c = (s − k)·l
    """
    domain = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    least = tl.load(lower + domain * box_domain + at, mask=inside, other=0.0)
    most = tl.load(upper + domain * box_domain + at, mask=inside, other=0.0)
    low, high, width, chord, _, is_open = _lines(least, most, slope)
    to_chord = tl.zeros([BLOCK], tl.float32)
    to_intercept = tl.zeros([BLOCK], tl.float32)
    for block in range(blocks):
        here = sums + (domain * blocks + block) * 2 * size + at
        to_chord += tl.load(here, mask=inside, other=0.0)
        to_intercept += tl.load(here + size, mask=inside, other=0.0)
    through = (to_chord - low * to_intercept) * tl.div_rn(1 - slope, width * width)
    down = through * high + to_intercept * (slope - chord)
    # If a bound is NaN, the gradients are NaN.
    closed = (width == width) & (is_open == 0)
    tl.store(to_lower + domain * size + at, tl.where(closed, 0.0, down), mask=inside)
    tl.store(to_upper + domain * size + at, tl.where(closed, 0.0, -through * low), mask=inside)
