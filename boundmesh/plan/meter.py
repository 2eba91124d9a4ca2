"""Counts the memory and the work of a computation that runs on shapes alone.

Tensors on torch's device `meta` have shapes and no numbers, so a computation with them takes no
memory and hardly any time, and allocates and frees in the order of the real one. `Meter` sees every
operation. It adds up the bytes that are alive, by term, and the work.

An operation whose result depends on numbers gets an assumed result: `nonzero`, which lists the
unstable neurons, as many neurons as are expected, spread evenly; a condition, true.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

from boundmesh.plan.machine import Machine
from boundmesh.plan.scratch import in_order_of, of_convolution, storage_of
from boundmesh.plan.terms import Term, term_of_caller
from boundmesh.plan.work import Work

aten = torch.ops.aten
# Weights of this size or larger are never copied in host memory.
LARGE = 2**20
RECORDED = "recorded"
"""The name of the stream of recordings."""
FACTORIES = frozenset((aten.new_zeros.default, aten.new_empty.default))
PRODUCTS = frozenset((aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.addmv, aten.mv))


class Meter(TorchDispatchMode):
    """Counts bytes and work while it is entered as a context.

    machine   the device for which memory and work are counted
    live      the bytes that are alive, by term
    peak      the largest sum of `live` so far
    at_peak   the bytes of each term at that time
    work      the work of each stage
    expected  maps a number of neurons to how many of them the next `nonzero` lists as unstable
    copies    by what factor the bytes that a tile keeps are multiplied: a rehearsal runs a few
              tiles, and counts them for all
    times     by what factor work is multiplied, for the same reason
    stage     the name under which work is counted
    stream    the name of the stream on which a GPU would work
    """

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine
        self.live: Counter[Term] = Counter()
        self.peak = 0.0
        self.at_peak: Mapping[Term, float] = {}
        self.work: dict[str, Work] = {}
        self.expected: Callable[[int], int] = lambda neurons: neurons
        self.copies = self.times = 1.0
        self.stage = self.stream = ""
        self._known: set[int] = set()
        self._total = 0.0
        self._spread: dict[int, int] = {}
        self._workspaces: set[str] = set()

    def kernel(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Count the work of a kernel that is not started."""
        tensors = [tensor for tensor in arguments if isinstance(tensor, Tensor)]
        operations = 0
        if name == "product":
            (rows, deep), wide = tensors[0].shape, tensors[1].shape[1]
            operations = 2 * rows * deep * wide
        self._add_work(
            operations, sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        )

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Run the work of the context on the stream of recordings."""
        before, self.stream = self.stream, RECORDED
        yield
        self.stream = before

    def received(self, size: int) -> None:
        """Count bytes that arrive from other ranks."""
        self._of_stage.receive(self.machine.rates, size, self.times)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if _is_view(func):
            return func(*args, **kwargs)
        packet, given = func.overloadpacket, [*_tensors(args), *_tensors(kwargs.values())]
        if packet is aten.nonzero:
            return self._some(args[0])
        if packet is aten._local_scalar_dense and args[0].is_meta:
            return 1.0 if args[0].dtype.is_floating_point else True
        if packet is aten._to_copy and args[0].is_meta and _is_host(kwargs.get("device")):
            return self._to_host(args[0], kwargs)
        if _copies_in_host_memory(func, given, kwargs):
            return _without_memory(func, args, kwargs)
        results = func(*args, **kwargs)
        if packet is aten.convolution and not self.machine.gpu:
            results = in_order_of(args[0], results)
        self._count(packet, args, kwargs, given, results)
        return results

    def _some(self, mask: Tensor) -> Tensor:
        """Return as many indices of a mask as are expected."""
        neurons = mask.numel()
        count = self.expected(neurons)
        self._spread[count] = neurons
        index = mask.new_empty(count, mask.dim(), dtype=torch.long)
        self._allocate(index)
        return index

    def _to_host(self, x: Tensor, kwargs: dict[str, Any]) -> Tensor:
        """Return indices as numbers, evenly spread; everything else stays a shape."""
        if x.dtype == torch.long and x.dim() == 1:
            count = len(x)
            return torch.arange(count) * self._spread.get(count, count) // max(1, count)
        return torch.empty_like(x, dtype=kwargs.get("dtype") or x.dtype)

    def _count(
        self, packet: Any, args: Any, kwargs: Any, given: list[Tensor], results: Any
    ) -> None:
        fresh, moved = 0, 0
        for tensor in _tensors(results if isinstance(results, list | tuple) else (results,)):
            if tensor.is_meta:
                if self._allocate(tensor, storage_of(packet, given, tensor)):
                    fresh += 1
                moved += tensor.numel() * tensor.element_size()
        if not fresh and not packet.__name__.endswith("_"):
            return
        operations = 0
        if packet in flop_registry:
            operations = flop_registry[packet](*args, **kwargs, out_val=results)
        moved += sum(tensor.numel() * tensor.element_size() for tensor in given)
        self._add_work(operations, moved)
        if packet in PRODUCTS:
            self._reserve_workspace()
        if packet is aten.convolution:
            scratch = of_convolution(args[0], args[1], results, args[3], args[6], self.machine.gpu)
            self._pass(term_of_caller(), scratch)

    def _allocate(self, x: Tensor, least: int = 0) -> bool:
        """Count a tensor's memory until it is freed; return True if it was not counted yet.

        It takes `least` bytes at least.
        """
        storage = x.untyped_storage()
        key = id(storage)
        if key in self._known:
            return False
        term = term_of_caller()
        size = self.machine.allocated(max(least, storage.nbytes())) * (
            self.copies if term.per_tile else 1
        )
        self._known.add(key)
        self._change(term, size)
        weakref.finalize(storage, self._free, key, term, size)
        return True

    def _free(self, key: int, term: Term, size: float) -> None:
        self._known.discard(key)
        self.live[term] -= size  # type: ignore[assignment]
        self._total -= size

    def _change(self, term: Term, size: float) -> None:
        self.live[term] += size  # type: ignore[assignment]
        self._total += size
        if self._total > self.peak:
            self.peak, self.at_peak = self._total, dict(self.live)

    def _pass(self, term: Term, size: float) -> None:
        """Count memory that an operation takes while it runs."""
        if size:
            self._change(term, size)
            self._change(term, -size)

    def _reserve_workspace(self) -> None:
        if self.stream not in self._workspaces and self.machine.workspace:
            self._workspaces.add(self.stream)
            self._change(Term.WORKSPACE, self.machine.workspace)

    def _add_work(self, operations: float, moved: float) -> None:
        self._of_stage.add(self.machine.rates, operations, moved, self.times)

    @property
    def _of_stage(self) -> Work:
        return self.work.setdefault(self.stage, Work())


@cache
def _is_view(func: Any) -> bool:
    """Return True if all results of an operation share the memory of its arguments, unchanged."""
    returns = func._schema.returns
    shared = all(value.alias_info is not None for value in returns)
    return bool(returns) and shared and not func._schema.is_mutable


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _is_host(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cpu"


def _copies_in_host_memory(func: Any, given: list[Tensor], kwargs: dict[str, Any]) -> bool:
    """Return True if an operation makes or changes a large tensor in host memory."""
    device = kwargs.get("device")
    imagined = any(tensor.is_meta for tensor in given)
    if not given or imagined or not (device is None or _is_host(device)):
        return False
    large = any(tensor.numel() * tensor.element_size() >= LARGE for tensor in given)
    return large or func in FACTORIES


def _without_memory(func: Any, args: Any, kwargs: Any) -> Any:
    """Return the result of an operation in host memory as tensors of one number, expanded."""
    if func._schema.is_mutable:
        return args[0]
    args, kwargs = tree_map_only(Tensor, _shape_only, (args, kwargs))
    return tree_map_only(Tensor, _one_number, func(*args, **kwargs))


def _shape_only(x: Tensor) -> Tensor:
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")


def _one_number(x: Tensor) -> Tensor:
    return torch.zeros((), dtype=x.dtype).expand(x.shape)
