"""The Triton kernels of `adam.py`. Importing them needs Triton, and compiling them needs a GPU."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=("size",), do_not_specialize_on_alignment=("scale", "pace"))
def step(
    values, gradient, first, second, scale, pace, size,
    SCALE: tl.constexpr, UNIT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Take one ascending step of Adam, in place. Each program handles BLOCK numbers of one domain.

    The numbers are clamped to [0, 1] if UNIT, and to [0, ∞) otherwise. A NaN in the gradient counts
    as zero.
    """
    domain = tl.program_id(0).to(tl.int64)
    here = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = here < size
    at = domain * size + here
    g = tl.load(gradient + at, mask=inside, other=0.0)
    g = tl.where(g == g, tl.minimum(tl.maximum(g, -3.4e38), 3.4e38), 0.0)
    m = tl.load(first + at, mask=inside, other=0.0)
    v = tl.load(second + at, mask=inside, other=0.0)
    m += (g - m) * (1 - 0.9)
    v = v * 0.999 + g * g * (1 - 0.999)
    tl.store(first + at, m, mask=inside)
    tl.store(second + at, v, mask=inside)
    rate = tl.load(pace)
    if SCALE:
        rate = rate * tl.load(scale + domain)
    length = tl.sqrt_rn(tl.div_rn(v, tl.load(pace + 2))) + 1e-12
    moved = tl.load(values + at, mask=inside, other=0.0)
    moved += rate * tl.div_rn(tl.div_rn(m, tl.load(pace + 1)), length)
    moved = tl.where(moved < 0, 0.0, moved)
    if UNIT:
        moved = tl.where(moved > 1, 1.0, moved)
    tl.store(values + at, moved, mask=inside)


@triton.jit(do_not_specialize=("size",))
def keep(won, values, kept, size, BLOCK: tl.constexpr):
    """Replace the kept numbers of each domain whose `won` is true by its present ones.

    Each program handles BLOCK numbers of one domain.
    """
    domain = tl.program_id(0).to(tl.int64)
    if tl.load(won + domain):
        here = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        at = domain * size + here
        found = tl.load(values + at, mask=here < size)
        tl.store(kept + at, found.to(kept.dtype.element_ty), mask=here < size)
