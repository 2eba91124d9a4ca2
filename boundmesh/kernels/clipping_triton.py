"""The Triton kernels of `fused_clipping.py`.

Importing them needs Triton, and compiling them needs a GPU.
"""

import triton
import triton.language as tl

FREE = ("neurons", "inputs", "own_domain")


@triton.jit
def _least(
    sign, own, base, row, middle, width, along, size, row_middle, row_size, share,
    MULTIPLIERS: tl.constexpr,
):  # fmt: skip
    """Compute `Cutting.least` for one neuron of one domain. `base` is Tᵢ·rᵢ, and `row` is aᵢ·rᵢ."""
    base = base * sign
    steps = row + own * sign * base
    value, climb = sign * middle, row_middle + own * middle
    up_value, up_slope = value - width, climb - sign * (along + own * width)
    toward = tl.where(steps > 0, base, tl.where(steps < 0, -base, 0.0))
    down_value, down_slope = value - tl.sum(toward), climb - tl.sum(tl.abs(steps))
    best = up_value - share * size
    for _ in range(MULTIPLIERS):
        crossing = tl.div_rn(down_value - up_value, up_slope - down_slope)
        weight = tl.where((crossing > 0) & (crossing < float("inf")), crossing, 0.0)
        pull = base + weight * steps
        found = value + weight * climb - tl.sum(tl.abs(pull))
        whole = size + weight * (row_size + tl.abs(own) * size)
        best = tl.maximum(best, found - share * whole)
        slope = climb - tl.sum(tl.where(pull > 0, steps, tl.where(pull < 0, -steps, 0.0)))
        rises = slope > 0
        start = found - weight * slope
        up_value, up_slope = tl.where(rises, start, up_value), tl.where(rises, slope, up_slope)
        down_value = tl.where(rises, down_value, start)
        down_slope = tl.where(rises, down_slope, slope)
    return best


@triton.jit(do_not_specialize=FREE)
def cut_neurons(
    weight, constants, sizes, lower, upper, row, constant, less, more, least, most,
    neurons, inputs, own_domain, share,
    MULTIPLIERS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute the bounds of neurons under `⟨row, x⟩ + constant ≤ 0`.

    Each program handles one neuron of one domain.
    """
    neuron = tl.program_id(0).to(tl.int64)
    domain = tl.program_id(1).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < inputs
    t = tl.load(weight + neuron * inputs + at, mask=inside, other=0.0)
    low = tl.load(lower + domain * inputs + at, mask=inside, other=0.0)
    high = tl.load(upper + domain * inputs + at, mask=inside, other=0.0)
    a = tl.load(row + domain * inputs + at, mask=inside, other=0.0)
    k, shift = tl.load(constant + domain), tl.load(constants + neuron)
    center, radius = (high + low) * 0.5, (high - low) * 0.5
    reach, big = tl.abs(center) + radius, tl.abs(t)
    middle, width = tl.sum(center * t) + shift, tl.sum(radius * big)
    size = tl.sum(reach * big) + tl.load(sizes + neuron)
    row_spread = a * radius
    along = tl.sum(tl.where(t > 0, row_spread, tl.where(t < 0, -row_spread, 0.0)))
    row_middle = tl.sum(a * center) + k
    row_size = tl.sum(tl.abs(a) * reach) + tl.abs(k)
    taken = -tl.load(less + domain * own_domain + neuron)
    found = _least(
        1.0, taken, t * radius, row_spread, middle, width, along, size, row_middle, row_size,
        share, MULTIPLIERS,
    )  # fmt: skip
    tl.store(least + domain * neurons + neuron, found)
    given = tl.load(more + domain * own_domain + neuron)
    found = _least(
        -1.0, given, t * radius, row_spread, middle, width, along, size, row_middle, row_size,
        share, MULTIPLIERS,
    )  # fmt: skip
    tl.store(most + domain * neurons + neuron, -found)


@triton.jit
def _larger(most, share, weight):
    product = share * weight
    return tl.maximum(most, tl.where(product == product, product, 0.0))


@triton.jit(do_not_specialize=FREE)
def largest_shares(weight, above, below, from_low, from_high, neurons, inputs, BLOCK: tl.constexpr):
    """Compute the largest over all neurons of above·T⁺ and below·|T⁻|, and of below·T⁺ and
    above·|T⁻|. No share is negative. Each program handles BLOCK inputs of one domain."""
    domain = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < inputs
    low = tl.zeros([BLOCK], tl.float32)
    high = tl.zeros([BLOCK], tl.float32)
    for neuron in range(0, neurons):
        t = tl.load(weight + neuron * inputs + at, mask=inside, other=0.0)
        rising, falling = tl.where(t > 0, t, 0.0), tl.where(t < 0, -t, 0.0)
        over = tl.load(above + domain * neurons + neuron)
        under = tl.load(below + domain * neurons + neuron)
        low = _larger(_larger(low, over, rising), under, falling)
        high = _larger(_larger(high, under, rising), over, falling)
    tl.store(from_low + domain * inputs + at, low, mask=inside)
    tl.store(from_high + domain * inputs + at, high, mask=inside)
