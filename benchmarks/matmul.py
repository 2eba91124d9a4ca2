"""Products of float32 matrices on a GPU: time and error, out of bfloat16 ones and cuBLAS's.

    python benchmarks/matmul.py
    python benchmarks/matmul.py --tune

One JSON line for each shape `[rows, deep] · [deep, wide]`; errors are the largest, over Σ|a||b|, of
numbers of both signs and of positive ones, whose sums grow all the way. With --tune, the blocks
that are nearly the fastest.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import torch
from triton.testing import do_bench

from boundmesh.kernels import matmul
from boundmesh.runtime.device import full_precision

SHAPES = [  # rows, deep, wide, transposed
    (1024, 2048, 4096, False),
    (1024, 2048, 784, False),
    (1024, 4096, 2048, True),
    (1024, 784, 2048, True),
    (512, 2048, 4096, False),
    (512, 4096, 2048, True),
    (512, 2048, 784, False),
    (512, 784, 2048, True),
    (128, 4096, 2048, True),
    (20, 2048, 4096, False),
    (1024, 256, 256, False),
    (8192, 256, 256, False),
]
TALL = [
    (128, 128, 64, 8),
    (128, 64, 64, 4),
    (128, 64, 64, 8),
    (64, 128, 64, 4),
    (64, 128, 64, 8),
    (64, 64, 64, 4),
]
FLAT = [(64, 64, 32, 4), (32, 64, 64, 4), (32, 32, 64, 4), (16, 64, 64, 4), (16, 32, 64, 4)]


def main(options: argparse.Namespace) -> None:
    full_precision()
    for rows, deep, wide, transposed in SHAPES:
        generator = torch.Generator("cuda").manual_seed(0)
        a = torch.randn(rows, deep, device="cuda", generator=generator)
        b = torch.randn(wide, deep, device="cuda", generator=generator)
        b = b.mT if transposed else b.mT.contiguous()
        if options.tune:
            chosen = TALL if rows >= 512 and wide > 512 else FLAT
            found = sorted((timed(a, b, block), *block) for block in chosen)
            print(json.dumps({"shape": [rows, deep, wide, transposed], "blocks": found[:3]}))
            continue
        line: dict[str, object] = {"benchmark": "matmul", "shape": [rows, deep, wide, transposed]}
        for name, product in (("bfloat16", matmul.mm), ("cublas", torch.mm)):
            milliseconds = do_bench(lambda: product(a, b), warmup=5, rep=20)  # noqa: B023
            line |= {
                f"{name}_ms": round(milliseconds, 4),
                f"{name}_tflops": round(2 * rows * deep * wide / milliseconds / 1e9, 1),
                f"{name}_error": error(product, a, b),
                f"{name}_error_positive": error(product, a.abs(), b.abs()),
            }
        print(json.dumps(line | {"device": torch.cuda.get_device_name()}), flush=True)


def error(product: Callable[..., torch.Tensor], a: torch.Tensor, b: torch.Tensor) -> float:
    exact, size = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    return float(((product(a, b).double() - exact).abs() / size).max())


def timed(a: torch.Tensor, b: torch.Tensor, block: tuple[int, int, int, int]) -> float:
    out = a.new_empty(len(a), b.shape[1])
    result: float = round(do_bench(lambda: matmul.run(a, b, out, block), warmup=5, rep=20), 4)
    return result


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tune", action="store_true")
    main(options.parse_args())
