"""Lists what a plan assumes of a device: how it allocates memory, and how fast it works."""

from __future__ import annotations

from dataclasses import dataclass

from boundmesh.plan.work import Rates

MIB = 2**20


@dataclass(frozen=True)
class Machine:
    """A device, as a plan sees it.

    name       what it is called, in words
    gpu        true for a GPU of NVIDIA
    hopper     true for a GPU of compute capability 9, which our kernel of products needs
    grain      every allocation is rounded up to a multiple of so many bytes
    workspace  the bytes that cuBLAS keeps from its first product on
    reserve    the bytes of the device that tensors cannot use: the CUDA context and kernels
    rates      how fast it works
    """

    name: str
    gpu: bool
    hopper: bool
    grain: int
    workspace: int
    reserve: int
    rates: Rates

    def allocated(self, size: int) -> int:
        """Return how many bytes a tensor of `size` bytes takes."""
        return -(-size // self.grain) * self.grain


# torch's CUDA allocator hands out multiples of 512 bytes. PyTorch gives cuBLAS 32 MiB on Hopper and
# 8.125 MiB before (`getChosenWorkspaceSize` in CUDABlas.cpp). The rates of Hopper are those in
# docs/measurements.md: 69 TFLOP/s for our products, an all-gather at
# 200 GB/s, and the specified bandwidth of an H100.
HOPPER = Machine(
    "a Hopper GPU", True, True, 512, 32 * MIB, 600 * MIB,
    Rates(60e12, 3.0e12, 2e11, 12e-6, "stated for one H100"),
)  # fmt: skip
OTHER_GPU = Machine(
    "a GPU before Hopper", True, False, 512, 8 * MIB + 128 * 1024, 600 * MIB,
    Rates(15e12, 1.3e12, 1e11, 12e-6, "stated for one A100"),
)  # fmt: skip
CPU = Machine(
    "a CPU", False, False, 1, 0, 300 * MIB,
    Rates(5e10, 1e10, 1e9, 5e-6, "stated for two CPU cores"),
)  # fmt: skip
