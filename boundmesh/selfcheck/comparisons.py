"""Compares the kernels on a device with the rules of the operators, once, before their first use.

A faulty compiler or driver must not lead to a wrong proof. Kernels compute small random rows, boxes
and products on the device, and the rules compute the same in float64 on the CPU. If a kernel fails,
or differs by more than rounding, no kernel of its kind is used on that device, and the rules do all
the work. The references are computed on the CPU, because a product on the device would reserve a
workspace there for good.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain

import torch
from torch import Tensor

from boundmesh.kernels import fused_linear, fused_rows, matmul
from boundmesh.kernels.gradient_use import GradientNotes
from boundmesh.kernels.pieces import Pieces
from boundmesh.operators.interval import Interval
from boundmesh.operators.linear import LINEAR
from boundmesh.operators.node import Node
from boundmesh.operators.relu import RELU

CLOSE = 1e-4
DOMAINS, ROWS, SIZE = 2, 20, 300


Comparison = tuple[str, Tensor, Tensor]
"""The name of a kernel, its result in float32, and the expected result from the CPU."""


def trusted(
    device: torch.device,
    compare: Callable[[torch.device], Iterator[Comparison]],
    tolerance: float = CLOSE,
) -> bool:
    """Return True if kernels of one kind may be used on `device`. Warns if they may not."""
    try:
        # All comparisons run twice. The first run compiles a kernel, and later runs start it in
        # another way (`launcher.start`).
        comparisons = chain(compare(device), compare(device))
        with torch.enable_grad():
            wrong = [
                name
                for name, value, expected in comparisons
                if not close(value, expected, tolerance)
            ]
    except torch.OutOfMemoryError:
        # A lack of memory is no fault of the kernels. A rank that went on without them would
        # compute other bits than the other ranks.
        raise
    except Exception as error:
        wrong = [f"{type(error).__name__}: {error}"]
    if wrong:
        warnings.warn(
            f"Triton's kernels do not work on {device} ({'; '.join(wrong)}); going on without them",
            RuntimeWarning,
            stacklevel=2,
        )
    return not wrong


@cache
def rows_agree(device: torch.device) -> bool:
    """Return True if the kernels of rows, boxes and unit rows agree with the operators."""
    return trusted(device, of_rows)


@cache
def products_agree(device: torch.device) -> bool:
    """Return True if the kernel of matrix products on `device` agrees with float64."""
    return trusted(device, of_products)


def close(value: Tensor, expected: Tensor, tolerance: float = CLOSE) -> bool:
    """Return True if a float32 result is near the expected one. NaN is never near."""
    return bool(((value.cpu().double() - expected).abs() <= tolerance * (1 + expected.abs())).all())


def of_rows(device: torch.device) -> Iterator[Comparison]:
    """Compare rows pulled through lines, sums over rows, and boxes and unit rows of a weight."""
    random = _random()
    rows, center, radius = random(DOMAINS, ROWS, SIZE), random(DOMAINS, SIZE), random(DOMAINS, SIZE)
    yield from of_pieces(device, rows, center, radius)
    rows, below, above = random(DOMAINS, ROWS, SIZE), random(1, 1, SIZE), random(1, 1, SIZE)
    sums = (torch.where(rows >= 0, below, above).double() * rows.double()).sum(2)
    rows, below, above = copies(device, rows, below, above)
    computed = fused_rows.signed_inner(rows, below, above)
    yield "signed sums", computed, sums
    yield "sums of sums", fused_rows.signed_inner(rows, below, above, computed[:1]), sums + sums[:1]
    weight, bias, lower = random(ROWS, SIZE), random(ROWS), random(1, SIZE)
    yield from of_weights(device, weight, bias, lower, lower + random(1, SIZE).abs())


def of_products(device: torch.device) -> Iterator[Comparison]:
    """Compare products for every block size, each with more than one band and two blocks across."""
    random = _random()
    for _, block in matmul.BLOCKS:
        high, across = block[:2]
        a, b = random(matmul.BAND * high + ROWS, SIZE), random(SIZE, across + 16)
        left, right = copies(device, a, b)
        out = left.new_empty(len(a), b.shape[1])
        exact = a.double() @ b.double()
        yield "product", matmul.run(left, right, out, block), exact
    turned = left.mT.contiguous().mT
    yield "product of a transposed matrix", matmul.run(turned, right, out, block), exact


def _random() -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(shape, generator=generator)


def of_weights(
    device: torch.device, weight: Tensor, bias: Tensor, lower: Tensor, upper: Tensor
) -> Iterator[Comparison]:
    """Compare the interval of a box, and pulled unit rows, of a linear node."""
    node = Node("z", LINEAR.name, ("x",), (ROWS,), ((SIZE,),))
    wide, exact = Interval(lower.double(), upper.double()), (weight.double(), bias.double())
    expected = LINEAR.interval(node, exact, wide)
    low, high = fused_linear.interval(*copies(device, weight, bias, lower, upper))
    yield "interval", low, expected.lower
    yield "interval", high, expected.upper
    index = torch.arange(ROWS - 1, 1, -1)
    sign = lower[0, : len(index)].sign()
    there, bias, indices, signs = copies(device, weight[2:], bias, index, sign)
    rows, biases = fused_linear.unit_rows(there, bias, indices, signs, 2)
    assert biases is not None
    yield "unit rows", rows, exact[0][index] * sign.unsqueeze(1)
    yield "unit rows", biases, exact[1][index] * sign


def copies(device: torch.device, *values: Tensor) -> list[Tensor]:
    """Return copies of the tensors on `device`."""
    return [value.to(device, copy=True) for value in values]


def of_pieces(
    device: torch.device, rows: Tensor, center: Tensor, radius: Tensor
) -> Iterator[Comparison]:
    """Compare rows pulled through the lines of a ReLU, and the gradients of that."""
    reach = radius.abs() + 0.1
    values = rows, center - reach, center + reach, rows.sigmoid()
    *on_device, alpha = copies(device, *values)
    tick = alpha.new_zeros((), requires_grad=True)
    notes = GradientNotes(torch.zeros_like(alpha), torch.zeros_like(alpha), tick)
    places = torch.arange(SIZE, dtype=torch.int32, device=device)
    start, lower, upper = (value.requires_grad_() for value in on_device)
    computed, bias = Pieces(0.0, lower, upper, places, alpha, gradient_use=notes).pull(start)
    leaves = [value.double().requires_grad_() for value in values]
    node = Node("a", RELU.name, ("z",), (SIZE,), ((SIZE,),))
    relax = RELU.relax
    assert relax is not None
    pulled = relax(node, (Interval(leaves[1], leaves[2]),), leaves[3]).pull(leaves[0])
    (expected,), expected_bias = pulled.coefficients, pulled.bias
    assert expected is not None and expected_bias is not None
    yield "lines", computed, expected
    yield "intercepts", bias, expected_bias
    with torch.no_grad():
        _, total = Pieces(0.0, lower, upper, places, alpha).pull(start, bias)
    yield "sums of intercepts", total, expected_bias * 2
    back = torch.autograd.grad(computed.sum() + bias.sum(), [*on_device, tick], allow_unused=True)[
        :3
    ]
    expected_back = torch.autograd.grad(expected.sum() + expected_bias.sum(), leaves)
    for gradient, expected_gradient in zip((*back, notes.alpha), expected_back, strict=True):
        yield "gradients", gradient, expected_gradient
